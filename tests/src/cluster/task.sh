# The task of every project of the fault tests. It says in the journal that it begins and that it ends; each is one
# write, so that lines of many tasks do not mix, and their order is the order in which it happened. The time is that of
# the machine, whatever wall clock the worker has.
#
#     sh task.sh sleep SECONDS      takes some time
#     sh task.sh gate               takes until somebody makes the file `gate`
#     sh task.sh poison KEY         as `gate` and then `sleep 0.2`, but for this key it kills its worker instead
#     sh task.sh flaky SECONDS      as `sleep`, but its first attempt fails
say() {
    read -r up _ </proc/uptime
    printf '%s %s %s %s %s %s %s\n' "$1" "$BACKSTITCH_ASSET" "${BACKSTITCH_PARTITION_KEY:--}" "$BACKSTITCH_ATTEMPT" \
        "$BACKSTITCH_DISPATCH" "$BACKSTITCH_RUN_ID" "$up" >>journal
}
# Asked to stop, because its run was cancelled, its worker drains, or nobody waits for it any more.
trap 'say stopped; exit 143' TERM
say begin
case $1 in
    sleep) sleep "$2" ;;
    gate) while [ ! -e gate ]; do sleep 0.05; done ;;
    poison)
        # Many of them wait at once: more often would be all that the machine does.
        while [ ! -e gate ]; do sleep 1; done
        [ "$BACKSTITCH_PARTITION_KEY" != "$2" ] || kill -KILL "$PPID"
        sleep 0.2
        ;;
    flaky)
        sleep "$2"
        [ "$BACKSTITCH_ATTEMPT" != 1 ] || { say failed; exit 1; }
        ;;
esac
say end
