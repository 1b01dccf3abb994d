-- Until the end of 2099: far enough, and milliseconds stay exact.
select
    timestamptz '1970-01-01 00:00+00'
    + {{ function('readable_whole_number') }}(given, 0, 4102444799999)
    * interval '1 millisecond' as readable_instant
