#!/bin/sh
# Starts cron, and before that what is due. Cron alone is root: it has to become the jobs' user.
set -eu

as_jobs() {
    setpriv --reuid=jobs --regid=jobs --clear-groups "$@"
}

# Where jobs find the container's log; cron hands it on to them.
exec 3>&1
# Their environment, as it came: with any character in it, and not in the crontab.
as_jobs sh -c 'umask 377; cat > /run/jobs/environment' < /proc/self/environ

# Everything in this container is told to end, and waited for as long as compose allows.
end() {
    trap '' TERM INT
    kill -TERM -1
    while kill -0 -1 2> /dev/null; do sleep 0.2; done
    exit 143
}
trap end TERM INT

cd /app
as_jobs touch /run/jobs/heartbeat
as_jobs python -m scheduler.catch_up &
cron -f &
wait $!
