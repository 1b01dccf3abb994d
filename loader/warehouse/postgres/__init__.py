"""The database itself: connections, COPY, migrations, roles, logins, the embedded server."""
