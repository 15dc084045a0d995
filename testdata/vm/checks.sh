# What is checked inside a virtual machine, as root, by busybox's shell: control groups of version 2, user namespaces, networks.
# Each check is a function check_NAME; it ends well, or calls `bad` or `cannot`.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin HOME=/root LC_ALL=C
groups=/sys/fs/cgroup
kernel=$(uname -r | cut -d. -f1,2)

bad() { echo "FAIL $name [linux $kernel]: $1"; sed 's/^/  | /' /tmp/log | tail -n 15; exit 1; }
cannot() { echo "skip $name [linux $kernel]: $1"; exit 2; }
# says COMMAND...: its output in $said, its exit code in $code.
says() {
	said=$(timeout 60 "$@" 2>&1 </dev/null)
	code=$?
	printf '$ %s\n%s\n(%s)\n' "$*" "$said" "$code" >>/tmp/log
}
works() { says "$@"; [ "$code" = 0 ] || bad "it failed: $*"; }
mentions() { echo "$said" | grep -Eq -- "$1" || bad "it said nothing of '$1'"; }
# group NAME: the folder of a container's group.
group() {
	local id
	id=$(estiba inspect -f '{{.Id}}' "$1") || bad "no such container: $1"
	find "$groups" -type d -path "*$id*" \( -name container -o -name "$id" \) | head -n 1
}
holds() { [ "$(cat "$1/$2" 2>/dev/null)" = "$3" ] || bad "$2 of $1 is '$(cat "$1/$2" 2>&1)', not '$3'"; }
# as_user COMMAND: a line of shell as the ordinary user.
cat >/bin/as_user <<'SCRIPT'
#!/bin/sh
exec su rt -c "export HOME=/home/rt ESTIBA_ROOT=/tmp/rt PATH=$PATH; $1"
SCRIPT
chmod 755 /bin/as_user

check_what_is_read_only_is() {
	mkdir -p /tmp/bound/below && mount -t tmpfs below /tmp/bound/below
	local who
	for who in sh as_user; do
		says $([ $who = sh ] && echo sh -c || echo as_user) 'estiba run --rm -v /tmp/bound:/b:ro -v /etc/passwd:/p:ro --read-only box sh -c "
			for at in /b/x /b/below/x /p /x /proc/sys/kernel/hostname; do (echo x >\$at) 2>/dev/null && echo wrote \$at; done
			grep -E \" /(b|b/below|proc/sys) \" /proc/self/mountinfo | cut -d\" \" -f5,6; echo done"'
		[ "$code" = 0 ] || bad "it ended with $code"
		mentions '^done$'
		mentions '^/b ro,.*nodev'
		mentions '^/b/below ro,.*nodev'
		mentions '^/proc/sys ro,nosuid,nodev,noexec'
		echo "$said" | grep -q wrote && bad "it writes"
	done
	umount /tmp/bound/below
}

check_limits_are_written() {
	works estiba run -d --name limits --memory 64m --memory-swap 96m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 \
		--cpuset-cpus 0 --pids-limit 100 --blkio-weight 500 box sleep 600
	local own
	own=$(group limits)
	holds "$own" memory.max $((64 << 20))
	holds "$own" memory.swap.max $((32 << 20))
	holds "$own" memory.low $((32 << 20))
	holds "$own" cpu.max "50000 100000"
	holds "$own" cpu.weight 20
	holds "$own" cpuset.cpus 0
	holds "$own" pids.max 100
	works estiba update --memory 128m --memory-swap -1 --cpus 1.5 --pids-limit -1 limits
	holds "$own" memory.max $((128 << 20))
	holds "$own" memory.swap.max max
	holds "$own" cpu.max "150000 100000"
	holds "$own" pids.max max
	works estiba update --memory 32m --memory-swap 32m limits
	holds "$own" memory.max $((32 << 20))
	works estiba rm -f limits
	[ ! -d "$own" ] || bad "its group is still there"
}

check_the_default_bounds_forks() {
	works estiba run -d --name plain box sleep 600
	holds "$(group plain)" pids.max 4096
	works estiba exec plain cat /proc/self/cgroup
	works estiba rm -f plain
}

check_a_group_is_the_root_of_its_namespace() {
	says estiba run --rm --memory 64m box sh -c 'cat /proc/self/cgroup; cat /sys/fs/cgroup/memory.max; echo 1 >/sys/fs/cgroup/memory.max'
	mentions '^0::/$'
	mentions "^$((64 << 20))$"
	mentions 'Read-only'
}

check_out_of_memory_is_told() {
	says estiba run --name greedy --memory 32m --memory-swap 32m box dd if=/dev/zero of=/dev/null bs=100M count=1
	[ "$code" = 137 ] || bad "it ended with $code"
	works estiba inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' greedy
	mentions '^true 137$'
	works estiba rm greedy
}

check_a_bomb_of_forks_is_contained() {
	works estiba run -d --name bomb --pids-limit 60 box sh -c 'trap "" TERM; while :; do (while :; do sleep 300 & done); done 2>/dev/null'
	sleep 2
	local own
	own=$(group bomb)
	[ "$(cat "$own/pids.current")" -le 60 ] || bad "it has more processes than it may"
	works estiba stats --no-stream --format '{{.PIDs}}' bomb
	works estiba stop -t 1 bomb
	works estiba rm bomb
	[ ! -d "$own" ] || bad "its group is still there"
	[ "$(ps | grep -c '[s]leep 300')" = 0 ] || bad "processes of it are left"
}

check_paused_is_paused() {
	works estiba run -d --name frozen box sh -c 'trap "" TERM; i=0; while :; do i=$((i+1)); echo $i >/count; done'
	works estiba pause frozen
	works estiba inspect -f '{{.State.Status}}' frozen
	mentions '^paused$'
	local own before
	own=$(group frozen)
	before=$(grep usage_usec "$own/cpu.stat")
	sleep 1
	[ "$before" = "$(grep usage_usec "$own/cpu.stat")" ] || bad "it goes on"
	says estiba pause frozen
	[ "$code" = 1 ] || bad "it was paused twice"
	works estiba unpause frozen
	grep -q 'frozen 0' "$own/cgroup.events" || bad "it stands still"
	works estiba pause frozen
	works estiba rm -f frozen
	[ ! -d "$own" ] || bad "its group is still there"
}

check_usage_is_counted() {
	works estiba run -d --name busy --memory 64m box sh -c 'while :; do :; done'
	sleep 1
	works estiba stats --no-stream --format '{{.CPUPerc}} {{.MemUsage}} {{.PIDs}}' busy
	mentions '^[0-9.]+% [0-9.]+[KM]?i?B / 64MiB [1-9]'
	[ "${said%%.*}" -ge 10 ] || bad "a loop takes no time: $said"
	works estiba rm -f busy
}

check_a_killed_supervisor_leaves_nothing() {
	works estiba run -d --name orphan --memory 64m box sleep 600
	local own supervisor
	own=$(group orphan)
	supervisor=$(ps -o pid,ppid | awk -v init="$(estiba inspect -f '{{.State.Pid}}' orphan)" '$1 == init { print $2 }')
	kill -9 "$supervisor"
	sleep 1
	works estiba ps -a --filter name=orphan --format '{{.State}}'
	mentions '^exited$'
	[ ! -d "$own" ] || bad "its group is still there"
	works estiba rm orphan
}

check_without_rights_it_is_said() {
	says as_user 'estiba run --rm --memory 64m box echo went on'
	[ "$code" = 0 ] || bad "it ended with $code"
	mentions '^went on$'
	mentions '--memory'
	mentions 'Delegate|linger'
}

check_a_delegated_group_serves_ordinary_users() {
	local own=$groups/of-rt
	mkdir "$own"
	echo "+cpu +memory +pids" >"$own/cgroup.subtree_control" 2>/dev/null
	echo "" >"$own/cgroup.subtree_control" 2>/dev/null
	mkdir "$own/session"
	chown -R rt "$own"
	says sh -c "echo 0 >$own/session/cgroup.procs; su rt -c 'export HOME=/home/rt ESTIBA_ROOT=/tmp/rt PATH=$PATH
		estiba run --rm --memory 64m --pids-limit 50 box cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max &&
		estiba run -d --name own --memory 48m box sleep 600 && estiba exec own cat /sys/fs/cgroup/memory.max && estiba pause own &&
		estiba unpause own && estiba stats --no-stream own && estiba rm -f own'"
	[ "$code" = 0 ] || bad "it ended with $code"
	mentions "^$((64 << 20))$"
	mentions '^50$'
	mentions "^$((48 << 20))$"
	mentions '/ 48MiB'
}

check_namespaces_of_ordinary_users() {
	works as_user 'estiba run --rm --network none --user 33:33 box sh -c "id -u; cat /proc/self/uid_map; ip -o link | wc -l"'
	mentions '^33$'
	mentions '100000'
	mentions '^1$'
}

check_private_networks() {
	[ -x /usr/bin/pasta ] || cannot "there is no pasta"
	works as_user 'estiba run -d --name web -p 127.0.0.1:8080:80 box sh -c "mkdir /w; echo served >/w/index.html; httpd -f -p 80 -h /w"'
	sleep 2
	works wget -q -O - http://127.0.0.1:8080/
	mentions '^served$'
	works as_user 'estiba rm -f web'
}

check_nothing_is_left() {
	local left
	left=$(find "$groups" -mindepth 2 -type d -path '*estiba/*' | head -n 3)
	[ -z "$left" ] || bad "groups: $left"
	left=$(ps | grep -v -e grep -e '\[' -e ' timeout ' | grep 'estiba' | head -n 3)
	[ -z "$left" ] || bad "processes: $left"
}

mkdir -p /tmp/box/bin /tmp/box/etc /home/rt
cp /bin/busybox /tmp/box/bin/
for applet in $(busybox --list | grep -vx busybox); do ln -s busybox "/tmp/box/bin/$applet"; done
chmod 4755 /usr/bin/newuidmap /usr/bin/newgidmap
printf 'root:x:0:0::/root:/bin/sh\nrt:x:1001:1001::/home/rt:/bin/sh\n' >/etc/passwd
printf 'root:x:0:\nrt:x:1001:\n' >/etc/group
echo 'rt:100000:65536' | tee /etc/subuid >/etc/subgid
chown rt:rt /home/rt
cp /etc/passwd /etc/group /tmp/box/etc/
tar -C /tmp/box -cf /tmp/box.tar .
# A way out, which pasta takes for its own.
ip link add outer type dummy && ip addr add 192.0.2.2/24 dev outer && ip link set outer up && ip route add default via 192.0.2.1
export ESTIBA_ROOT=/tmp/store
: >/tmp/log
name=set-up
(works estiba import /tmp/box.tar box; works as_user 'estiba import /tmp/box.tar box') || exit 1

failures=0
for check in $(sed -n 's/^check_\([a-z_]*\)().*/\1/p' /script); do
	name=$(echo "$check" | tr _ -)
	: >/tmp/log
	if (eval "check_$check"); then echo "ok $name [linux $kernel]"; else [ $? = 2 ] || failures=$((failures + 1)); fi
done
exit "$failures"
