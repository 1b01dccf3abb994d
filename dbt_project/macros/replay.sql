{#
    `loader transform --since --until` has the models say again what they say
    of a stretch of whole hours, from raw alone: what they said before makes
    room. Variables, because a model is asked for it in a run like any other.
#}
{% macro is_replay() %}
    {% do return(var('since', none) is not none and is_incremental()) %}
{% endmacro %}


{# Whether an instant is in the stretch that is replayed. #}
{% macro is_replayed(instant) -%}
    {{ instant }} >= timestamptz '{{ var('since') }}'
    and {{ instant }} < timestamptz '{{ var('until') }}'
{%- endmacro %}


{# Pre-hook: the model's rows of the stretch go, in the model's transaction. #}
{% macro forget_replayed(instant) -%}
    {% if is_replay() %}
    delete from {{ this }}
    where {{ is_replayed(instant) }}
    {% endif %}
{%- endmacro %}
