{#
    What a row of raw must have to be of use: for each table, what is told of a
    row that has it not, and the condition. The only list: staging leaves out
    what fails one, the counts of unreadable rows say which. The loader checks
    the same before a row comes in, which a test holds, so that only rows of an
    older loader, or of another hand, ever fail.
#}
{% macro requirements(table) %}
    {% set quote = {
        'received_at': is_market_time('received_at'),
        'book': is_name('book'),
        'bid': 'bid is null or ' ~ is_price('bid'),
        'ask': 'ask is null or ' ~ is_price('ask'),
    } %}
    {% set exchange = {
        'received_at': is_market_time('received_at'),
        'exchange_id': is_name('exchange_id'),
    } %}
    {% set user = {
        'user_id': is_key('user_id'),
    } %}
    {% set event = dict(user, event_timestamp=is_instant('event_timestamp')) %}
    {% set transaction = dict(
        event,
        amount='amount is null or ' ~ is_amount('amount'),
        currency=is_key('currency'),
        tx_status=is_key('tx_status'),
    ) %}
    {% do return({
        'bitso_tickers': quote,
        'bitso_order_books': quote,
        'bitso_books': {
            'received_at': quote.received_at,
            'book': quote.book,
        },
        'spread_observations': quote,
        'coingecko_exchanges': dict(exchange, name=is_filled("'name'")),
        'coingecko_tickers': dict(
            exchange,
            base=is_named("'base'"),
            target=is_named("'target'"),
        ),
        'coincap_exchanges': dict(exchange, name=is_filled("'name'")),
        'deposits': transaction,
        'withdrawals': dict(transaction, interface=is_key('interface')),
        'events': dict(event, event_name=is_key('event_name')),
        'users': user,
        'user_levels': dict(event, jurisdiction=is_key('jurisdiction')),
    }[table]) %}
{% endmacro %}


{# A condition, whether a row of a table can be modelled. #}
{% macro is_readable(table) -%}
    {% for condition in requirements(table).values() -%}
        ({{ condition }}){{ ' and ' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# An expression, the first reason why a row cannot be modelled, or null. #}
{% macro why_unreadable(table) -%}
    {% set cases = [] %}
    {% for part, condition in requirements(table).items() %}
        {% do cases.append(
            'when (' ~ condition ~ ') is not true then '
            ~ "'" ~ part ~ " cannot be read'"
        ) %}
    {% endfor %}
    case {{ cases | join(' ') }} end
{%- endmacro %}


{#
    The years 2 to 9998, in whatever zone they were written: most programs can
    show no more than the years 1 to 9999, and in no zone it lies beyond them.
#}
{% macro is_instant(instant) -%}
    {{ instant }} >= timestamptz '0001-12-31 00:00+00'
    and {{ instant }} < timestamptz '9999-01-02 00:00+00'
{%- endmacro %}


{# Before the first price of a bitcoin nothing was observed. #}
{% macro is_market_time(instant) -%}
    {{ instant }} >= timestamptz '2010-01-01 00:00+00'
    and {{ instant }} < timestamptz '2100-01-01 00:00+00'
{%- endmacro %}


{# With 18 decimals, as the models have it, it is above zero still. #}
{% macro is_price(price) -%}
    {{ price }} >= 5e-19 and {{ price }} < 1e19
{%- endmacro %}


{# It fits numeric(38, 18) also when it is rounded to that. #}
{% macro is_amount(amount) -%}
    abs({{ amount }}) < 99999999999999999999.9999999999999999995
{%- endmacro %}


{# A text with something in it, short enough for the keys of the models. #}
{% macro is_name(name) -%}
    octet_length({{ name }}) <= 300
    and btrim({{ name }}, E' \t\n\r\f\v') <> ''
{%- endmacro %}


{# The same of a snapshot's texts. #}
{% macro is_key(text) -%}
    octet_length({{ text }}) between 1 and 1000
{%- endmacro %}


{# A name in a payload. #}
{% macro is_named(member) -%}
    {{ is_filled(member) }} and octet_length(payload ->> {{ member }}) <= 300
{%- endmacro %}


{# A text with something in it in a payload. #}
{% macro is_filled(member) -%}
    jsonb_typeof(payload -> {{ member }}) = 'string'
    and btrim(payload ->> {{ member }}, E' \t\n\r\f\v') <> ''
{%- endmacro %}
