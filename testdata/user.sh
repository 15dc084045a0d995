#!/bin/sh
# Finds or makes an ordinary user for tests.   usage: user.sh NAME subordinate|plain   (as root)
set -eu

name=$1 kind=$2
case $kind in subordinate | plain) ;; *) echo "user.sh: subordinate or plain, not '$kind'" >&2; exit 2 ;; esac
[ "$(id -u)" = 0 ] || { echo "user.sh: only root can make a user" >&2; exit 1; }

# One at a time: useradd and usermod fail when another process edits the same files.
exec 9>/run/estiba-users.lock
flock 9

if ! grep -q "^$name:" /etc/passwd; then
	# The counts of 0 keep useradd from choosing a range by itself.
	useradd --create-home --shell /bin/sh -K SUB_UID_COUNT=0 -K SUB_GID_COUNT=0 "$name"
fi

# The first free range above everything that is taken.
free() {
	sort -t: -k2n "$1" 2>/dev/null |
		awk -F: 'BEGIN { next_id = 100000 } { if ($2 + $3 > next_id) next_id = $2 + $3 } END { print next_id }'
}
if [ "$kind" = subordinate ]; then
	for file in /etc/subuid /etc/subgid; do
		grep -qs "^$name:" "$file" || echo "$name:$(free "$file"):65536" >>"$file"
	done
else
	for file in /etc/subuid /etc/subgid; do
		if grep -qs "^$name:" "$file"; then
			echo "user.sh: $name has a line in $file, which a plain user must not have" >&2
			exit 1
		fi
	done
fi
