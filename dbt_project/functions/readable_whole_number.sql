select
    case
        when
            {{ function('readable_number') }}(given) >= smallest
            and {{ function('readable_number') }}(given) <= largest
            and {{ function('readable_number') }}(given)
            = trunc({{ function('readable_number') }}(given))
            then cast({{ function('readable_number') }}(given) as bigint)
    end as readable_whole_number
