# Sourced by run.sh: tars that ADD unpacks.

# add_tar: what an image gets from `ADD evil.tar /in/`.
add_tar() {
	printf 'FROM busybox\nADD evil.tar /in/\nRUN ls -lR /in\n' >Dockerfile
	LIMIT=30 says "${build[@]}" .
}

attack_add_tar_that_leaves() {
	context tar-leaves
	mkdir -p in && echo evil >in/evil
	tar --create --file evil.tar --absolute-names --transform 's,^in/,../../../../../../../../tmp/estiba-escaped/,' in/evil 2>>"$work/log"
	add_tar
	tar --create --file evil.tar --absolute-names --transform "s,^in/,$work/escaped/," in/evil 2>>"$work/log"
	add_tar
	[ ! -e "$work/escaped" ] && [ ! -e /tmp/estiba-escaped ] || bad "a name in a tar was followed out of the image"
}

attack_add_tar_through_a_link() {
	context tar-link
	mkdir -p "$work/target" one two/door
	ln -s "$work/target" one/door
	echo evil >two/door/evil
	tar --create --file evil.tar -C one door
	tar --append --file evil.tar -C two door/evil
	add_tar
	[ -z "$(ls "$work/target")" ] || bad "a link in a tar was followed out of the image"
}

attack_add_tar_hard_link_that_leaves() {
	context tar-hard
	mkdir -p in && echo a >in/a && ln in/a in/b
	tar --create --file evil.tar --absolute-names --transform 's,^in/a$,/etc/hostname,RSh' --transform 's,^in/a$,../../../../etc/passwd,H' -C . in/b in/a 2>>"$work/log" ||
		tar --create --file evil.tar in 2>>"$work/log"
	local before
	before=$(sha256sum /etc/passwd)
	add_tar
	[ "$before" = "$(sha256sum /etc/passwd)" ] || bad "/etc/passwd of the host changed"
}

attack_add_tar_truncated() {
	context tar-short
	head -c 1000000 /dev/urandom >file
	tar --create --file whole.tar file
	head -c 300000 whole.tar >evil.tar
	printf 'FROM busybox\nADD evil.tar /in/\n' >Dockerfile
	refuses 'evil.tar|truncat|end' "${build[@]}" .
	gzip -c whole.tar | head -c 200000 >evil.tar
	refuses 'evil.tar|truncat|end' "${build[@]}" .
}

attack_add_tar_bomb() {
	context bomb
	# 3 GB of zeros in a few MB: it may be refused or fill the store, but neither memory nor time may follow.
	head -c 50000000 /dev/zero | gzip -9 >one.gz
	mkdir b && truncate -s 300M b/zeros
	tar --create --file - b | gzip -1 >evil.tar
	printf 'FROM busybox\nADD evil.tar /in/\n' >Dockerfile
	LIMIT=60
	says "${build[@]}" .
	rm -rf b
}
