-- Of letters those of ASCII alone: the same on each server, and never longer.
select
    lower(
        btrim(any_text, E' \t\n\r\f\v') collate "C"
    ) collate "default" as code_of
