# Sourced by the scripts here: an OCI layout of one image with one layer, by shell alone.

# put_blob LAYOUT FILE: moves FILE among the blobs; prints "digest size".
put_blob() {
	blob_hex=$(sha256sum "$2" | cut -d' ' -f1)
	blob_size=$(stat -c %s "$2")
	mv "$2" "$1/blobs/sha256/$blob_hex"
	printf 'sha256:%s %s\n' "$blob_hex" "$blob_size"
}

# write_layout OUT TAR NAME CMD EPOCH: OUT becomes an OCI layout with the image NAME whose one layer
# is TAR (which is moved away) and whose default command is the JSON array CMD.
# The folder appears whole or not at all.
write_layout() {
	layout=$1.partial.$$
	rm -rf "$layout"
	mkdir -p "$layout/blobs/sha256"
	created=$(date -u -d "@$5" +%Y-%m-%dT%H:%M:%SZ)
	case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(dpkg --print-architecture) ;; esac

	set -- "$1" "$2" "$3" "$4" "$5" $(put_blob "$layout" "$2")
	printf '{"created":"%s","architecture":"%s","os":"linux","config":{"Env":["PATH=%s"],"Cmd":%s},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created":"%s","created_by":"testdata/base: %s"}]}' \
		"$created" "$arch" /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$4" "$6" "$created" "$3" >"$layout/config"
	set -- "$@" $(put_blob "$layout" "$layout/config")
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%s}]}' \
		"$8" "$9" "$6" "$7" >"$layout/manifest"
	set -- "$1" "$3" "$arch" $(put_blob "$layout" "$layout/manifest")
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%s,"platform":{"architecture":"%s","os":"linux"},"annotations":{"io.containerd.image.name":"docker.io/library/%s:latest","org.opencontainers.image.ref.name":"latest"}}]}' \
		"$4" "$5" "$3" "$2" >"$layout/index.json"
	printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
	rm -rf "$1"
	mv "$layout" "$1"
}
