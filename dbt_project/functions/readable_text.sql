select
    case
        when jsonb_typeof(given) = 'string' then given #>> '{}'
    end as readable_text
