select
    case
        when
            {{ function('readable_number') }}(given) >= 0
            and {{ function('readable_number') }}(given) < 1e19
            then {{ function('readable_number') }}(given)
    end as readable_amount
