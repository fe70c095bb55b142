# The walk itself, inside the root that walk.sh made. What a machine has and this root has not, stands here as a function.

sudo() {
    if [ "$1" = -u ]; then
        local user=$2
        shift 2
        runuser -u "$user" -- "$@"
    else
        "$@"
    fi
}
apt() { DEBIAN_FRONTEND=noninteractive dpkg -i "$2"; }
# Of systemd: the user, the directories and the words of the unit, and that a start has come to READY.
systemctl() {
    [ "$1 $2 $3" = "enable --now wa-sbc" ] || return 1
    local unit=/lib/systemd/system/wa-sbc.service
    install -d -o wa-sbc -g wa-sbc /run/wa-sbc
    # shellcheck disable=SC2046
    runuser -u wa-sbc -- env $(sed -n 's/^Environment=//p' $unit) $(sed -n 's/^ExecStart=//p' $unit) >service.log 2>&1 &
    service=$!
    for _ in $(seq 200); do
        grep -q listening service.log && return 0
        sleep 0.1
    done
    cat service.log
    return 1
}

# Runs block N of the document.
block() {
    local text status
    text=$(awk -v want="$1" '/^```sh$/ { n++; on = n == want; next } /^```$/ { on = 0 } on' document.md)
    [ -n "$text" ] || return 1
    echo "== $1"
    eval "$text"
    status=$?
    echo "-- $1 $status"
}

number=0
SECONDS=0
while number=$((number + 1)); block $number; do
    if [ $number = 1 ]; then
        # What certbot's hook would have done.
        install -m 0640 -g wa-sbc fullchain.pem key.pem /etc/wa-sbc/
    fi
done 2>&1
echo "== took"
echo "$SECONDS"

echo "== files"
stat -c '%a %U:%G %n' /etc/wa-sbc /etc/wa-sbc/* /var/lib/wa-sbc
dpkg --verify wa-sbc && echo verified
source /usr/share/bash-completion/completions/wa-sbc && complete -p wa-sbc
man --warnings -l /usr/share/man/man5/wa-sbc.toml.5.gz 2>&1 >/dev/null | head -3
man -l /usr/share/man/man1/wa-sbc-doctor.1.gz 2>/dev/null | head -5
echo "== logs"
cat meta.log pbx.log service.log
echo "== end"
kill -TERM "$(pgrep -P "$service")"
wait "$service"
tail -1 service.log
dpkg -r wa-sbc >/dev/null
ls /etc/wa-sbc/wa-sbc.toml /usr/bin/wa-sbc 2>&1
dpkg -P wa-sbc >/dev/null 2>&1
ls -d /etc/wa-sbc /var/lib/wa-sbc 2>&1
