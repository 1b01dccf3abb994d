select
    cast(
        {{ function('readable_whole_number') }}(
            given, -2147483648, 2147483647
        ) as integer
    ) as readable_integer
