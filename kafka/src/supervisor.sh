# Runs one command and sees to it that it never outlives the process that asked for it.
#
#   sh -c "$(cat supervisor.sh)" supervisor ON_CLOSE GRACE_S REMOVE OUTPUT COMMAND...
#
# stdin is a pipe whose other end only the asking process holds. A line "kill" on it is SIGKILL for the command, a
# line "stop" is SIGTERM and, after GRACE_S seconds, SIGKILL. Its end, for whatever reason (asked for, crash, SIGKILL
# of the asking process), is ON_CLOSE, "stop" or "kill"; after that the folder REMOVE, if any, is deleted. The first
# line of stdout is the command's process id; the exit status is the command's. stderr is a lock file, which stays
# locked for as long as anything here or the command itself has it open.
on_close=$1 ticks=$(($2 * 10)) remove=$3 output=$4
shift 4
exec 3<&0 </dev/null 4>&2 2>>"$output"
"$@" 3<&- >>"$output" 2>&1 &
command=$!
echo "$command"
exec >&-
(
    read -r order <&3 || order=$on_close-at-end
    trap '' TERM
    case $order in
    kill*) kill -KILL "$command" ;;
    *)
        kill -TERM "$command"
        while kill -0 "$command" && [ "$ticks" -gt 0 ]; do
            sleep 0.1
            ticks=$((ticks - 1))
        done
        [ "$ticks" -gt 0 ] || kill -KILL "$command"
        ;;
    esac 2>/dev/null
    case $order in
    *-at-end) exit 10 ;;
    esac
) &
watcher=$!
exec 3<&-
wait "$command"
status=$?
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
# The watcher's 10 says that the pipe was closed; otherwise it dies of the kill above.
if [ $? -eq 10 ] && [ -n "$remove" ]; then
    rm -rf -- "$remove"
fi
exit "$status"
