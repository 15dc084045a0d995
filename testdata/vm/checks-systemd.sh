# What is checked on a machine that systemd runs, as a service of it: an ordinary user gets groups by his own service manager,
# and units have their containers within.
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LC_ALL=C
kernel=$(uname -r | cut -d. -f1,2)
groups=/sys/fs/cgroup

bad() { echo "FAIL $name [systemd, linux $kernel]: $1"; sed 's/^/  | /' /run/log-of-check | tail -n 20; exit 1; }
cannot() { echo "skip $name [systemd, linux $kernel]: $1"; exit 2; }
says() {
	said=$(timeout 120 "$@" 2>&1 </dev/null)
	code=$?
	printf '$ %s\n%s\n(%s)\n' "$*" "$said" "$code" >>/run/log-of-check
}
works() { says "$@"; [ "$code" = 0 ] || bad "it failed: $*"; }
mentions() { echo "$said" | grep -Eq -- "$1" || bad "it said nothing of '$1'"; }
# as_user COMMAND: a line of shell as the ordinary user, in no session of his.
cat >/usr/local/bin/as_user <<'SCRIPT'
#!/bin/sh
exec setpriv --reuid=rt --regid=rt --init-groups --reset-env env XDG_RUNTIME_DIR=/run/user/1001 ESTIBA_ROOT=/var/tmp/rt \
	PATH="$PATH" LC_ALL=C sh -c "$1"
SCRIPT
chmod 755 /usr/local/bin/as_user

check_a_user_is_given_a_scope() {
	works as_user 'estiba run -d --name scoped --memory 64m --pids-limit 50 box sleep 600'
	echo "$said" | grep -q note && bad "it was not given"
	works as_user 'estiba exec scoped cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max'
	mentions "^$((64 << 20))$"
	mentions '^50$'
	works as_user 'systemctl --user list-units --type=scope --no-legend --plain'
	mentions 'estiba-[0-9a-f]{64}\.scope'
	works as_user 'estiba update --memory 96m scoped && estiba exec scoped cat /sys/fs/cgroup/memory.max'
	mentions "^$((96 << 20))$"
	works as_user 'estiba pause scoped && estiba unpause scoped'
	works as_user 'estiba stats --no-stream scoped'
	mentions '/ 96MiB'
	works as_user 'estiba restart -t 0 scoped && estiba exec scoped cat /sys/fs/cgroup/memory.max'
	mentions "^$((96 << 20))$"
	works as_user 'estiba rm -f scoped'
	sleep 1
	works as_user 'systemctl --user list-units --all --type=scope --no-legend --plain'
	echo "$said" | grep -q estiba- && bad "its scope is still there"
	return 0
}

check_a_unit_has_its_container_within() {
	cat >/run/systemd/system/web.service <<-'UNIT'
		[Service]
		Environment=ESTIBA_ROOT=/var/tmp/root
		Delegate=yes
		ExecStart=/usr/local/bin/estiba run --rm --name web --cgroups=split --memory 64m box sleep 600
		ExecStop=/usr/local/bin/estiba stop -t 1 web
	UNIT
	works systemctl daemon-reload
	works systemctl start web
	sleep 5
	works systemctl status --no-pager web
	mentions 'active \(running\)'
	mentions 'sleep 600'
	works sh -c "cat $groups/system.slice/web.service/*/memory.max"
	mentions "^$((64 << 20))$"
	works systemctl stop web
	works env ESTIBA_ROOT=/var/tmp/root estiba ps -aq
	[ -z "$said" ] || bad "it is still there: $said"
}

check_a_slice_is_obeyed() {
	works estiba run -d --name sliced --cgroup-parent batch.slice --memory 64m box sleep 600
	works sh -c "cat $groups/batch.slice/estiba-*.scope/container/memory.max"
	mentions "^$((64 << 20))$"
	works estiba rm -f sliced
}

export ESTIBA_ROOT=/var/tmp/root
mkdir -p /var/tmp/box/bin
cp /bin/busybox /var/tmp/box/bin/
for applet in $(busybox --list | grep -vx busybox); do ln -s busybox "/var/tmp/box/bin/$applet"; done
tar -C /var/tmp/box -cf /var/tmp/box.tar .
: >/run/log-of-check
name=set-up
for second in $(seq 60); do [ -S /run/user/1001/systemd/private ] && break; sleep 1; done
(works estiba import /var/tmp/box.tar box; works as_user 'estiba import /var/tmp/box.tar box') || exit 1
failures=0
for check in $(sed -n 's/^check_\([a-z_]*\)().*/\1/p' "$0"); do
	name=$(echo "$check" | tr _ -)
	: >/run/log-of-check
	if (eval "check_$check"); then echo "ok $name [systemd, linux $kernel]"; else [ $? = 2 ] || failures=$((failures + 1)); fi
done
exit "$failures"
