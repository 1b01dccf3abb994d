"""`loader init` and `loader stop`: the database itself."""

import click


@click.command()
def init() -> None:
    """Bring schema, roles and dbt's profile up to date; start the database if it is embedded."""
    from contextlib import closing

    from loader.operations.transform import renew
    from loader.warehouse.errors import WarehouseError
    from loader.warehouse.postgres import logins, roles
    from loader.warehouse.postgres.connection import connect, endpoint
    from loader.warehouse.postgres.migrate import migrate
    from loader.warehouse.postgres.profiles import write_profile
    from loader.warehouse.postgres.sample import typed_by_hand
    from loader.warehouse.settings import get_settings

    for name in migrate():
        click.echo(f"applied {name}")
    with closing(connect()) as connection:
        problem = roles.apply(connection)
        if told := problem or roles.restrict_everybody(connection):
            click.echo(told, err=True)
    for made in logins.apply():
        click.echo(made)
    where = endpoint()
    by_hand = where._replace(db=typed_by_hand(where))
    write_profile(get_settings().profiles_dir, by_hand, with_role=problem is None)
    try:
        if run := renew():
            click.echo(f"built anew what another version had built (run {run.run_id})")
    except WarehouseError as error:
        # What stands stays as it is, and answers; the next transform tries again.
        click.echo(f"the models are still those of another version: {error}", err=True)
    click.echo(f"ready: {where.user}@{where.host}:{where.port}/{where.db}")


@click.command()
def stop() -> None:
    """Stop the embedded database."""
    from loader.warehouse.postgres.embedded import Embedded
    from loader.warehouse.settings import get_settings

    stopped = Embedded(get_settings().home).stop()
    click.echo("stopped" if stopped else "not running")
