-- A number, or a text that is one; the loader's loader/warehouse/values.py
-- reads by the same grammar.
select
    case jsonb_typeof(given)
        when 'number' then cast(given as numeric)
        when 'string' then
            case
                when
                    length(given #>> '{}') <= 1000
                    and given #>> '{}'
                    ~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$'
                    then cast(given #>> '{}' as numeric)
            end
    end as readable_number
