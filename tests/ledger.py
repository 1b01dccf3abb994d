"""What a run of the ledger says of itself, for tests."""

from loader.warehouse.ledger.runs import LedgerRun


def counts(run: LedgerRun) -> tuple[int, int, int, int]:
    """Rows read, inserted, found again and put in quarantine."""
    return run.rows_read, run.rows_inserted, run.rows_duplicate, run.rows_quarantined
