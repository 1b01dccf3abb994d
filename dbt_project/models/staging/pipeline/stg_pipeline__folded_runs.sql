with

folded_runs as (

    select * from {{ source('pipeline', 'folded_runs') }}

),

renamed as (

    select unnest(folded_runs.run_ids) as run_ids
    from folded_runs

)

select * from renamed
