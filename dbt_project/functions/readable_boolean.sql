select
    case
        when jsonb_typeof(given) = 'boolean' then cast(given as boolean)
    end as readable_boolean
