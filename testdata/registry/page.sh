# Sourced by run.sh: the page, as headless Chromium shows it. Its own commands need scripts, so that it cannot be told to
# run none; that the pages hold none and forbid all is what is looked at.
#
# $PAGE_SHOTS names a folder to keep screenshots in: light, dark, and a telephone.

# digest_of FILE
digest_of() { printf 'sha256:%s' "$(sha256sum "$1" | cut -d ' ' -f 1)"; }
size_of() { stat -c %s "$1"; }

# put_blob REPOSITORY FILE
put_blob() {
	fetch "/v2/$1/blobs/uploads/?digest=$(digest_of "$2")" --request POST --header 'Content-Type: application/octet-stream' --data-binary "@$2"
	status 201
}

# put_manifest REPOSITORY REFERENCE FILE MEDIA_TYPE
put_manifest() {
	fetch "/v2/$1/manifests/$2" --request PUT --header "Content-Type: $4" --data-binary "@$3"
	status 201
}

OCI=application/vnd.oci
# descriptor MEDIA_TYPE FILE [FIELDS]
descriptor() { printf '{"mediaType":"%s","digest":"%s","size":%s%s}' "$1" "$(digest_of "$2")" "$(size_of "$2")" "${3:-}"; }

# put_image REPOSITORY TAG ARCHITECTURE SIZES...: an image with a layer of random bytes for each size; its manifest is image.json.
put_image() {
	local repository=$1 tag=$2 architecture=$3 layers= history= number=0 size commands
	shift 3
	commands=('COPY /rootfs / # buildkit' 'RUN /bin/sh -c apt-get update \u0026\u0026 apt-get install -y --no-install-recommends ca-certificates curl libpq5 tini \u0026\u0026 rm -rf /var/lib/apt/lists/* # and a command that is much longer than a line on any screen' 'COPY requirements.txt /app/ # buildkit' 'RUN /bin/sh -c pip install -r requirements.txt # buildkit' '/bin/sh -c #(nop)  COPY dir:0123 in /app')
	for size; do
		head -c "$size" /dev/urandom >layer
		put_blob "$repository" layer
		layers+=${layers:+,}$(descriptor $OCI.image.layer.v1.tar+gzip layer)
		history+=${history:+,}'{"created":"2026-10-01T10:00:00Z","created_by":"'${commands[$number]}'"}'
		number=$((number + 1))
	done
	history+=',{"created_by":"ENV APP_MODE=production","empty_layer":true},{"created_by":"/bin/sh -c #(nop)  CMD [\"serve\"]","empty_layer":true}'
	cat >config <<-JSON
		{"os":"linux","architecture":"$architecture","created":"2026-10-01T10:00:00Z","author":"Ada","config":{"Cmd":["serve"],
		"Entrypoint":["/usr/bin/tini","--"],"WorkingDir":"/app","User":"app","ExposedPorts":{"8080/tcp":{}},"Env":["PATH=/usr/bin:/bin","APP_MODE=production"],
		"Labels":{"org.opencontainers.image.source":"https://example.com/team/app","evil":"<script>document.title='owned'</script>","bidi":"invoice\u202egpj.exe"}},
		"rootfs":{"type":"layers","diff_ids":[]},"history":[$history]}
	JSON
	put_blob "$repository" config
	printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s],"annotations":{"org.opencontainers.image.title":"A \\"quoted\\" <b>title</b>","huge":"%s"}}' \
		$OCI.image.manifest.v1+json "$(descriptor $OCI.image.config.v1+json config)" "$layers" "$(head -c 5000 /dev/zero | tr '\0' x)" >image.json
	put_manifest "$repository" "$tag" image.json $OCI.image.manifest.v1+json
}

# put_referrer REPOSITORY SUBJECT_FILE ARTIFACT_TYPE CONTENT
put_referrer() {
	printf '{}' >empty
	printf '%s' "$4" >content
	put_blob "$1" empty
	put_blob "$1" content
	printf '{"schemaVersion":2,"mediaType":"%s","artifactType":"%s","config":%s,"layers":[%s],"subject":%s}' $OCI.image.manifest.v1+json "$3" \
		"$(descriptor $OCI.empty.v1+json empty)" "$(descriptor "$3" content ',"annotations":{"org.opencontainers.image.title":"<i>sbom</i>.json"}')" \
		"$(descriptor $OCI.image.manifest.v1+json "$2")" >referrer.json
	put_manifest "$1" "$(digest_of referrer.json)" referrer.json $OCI.image.manifest.v1+json
}

# fill: what the pages are looked at with.
fill() {
	local name
	for name in ci/nightly infra/postgres infra/proxy library/debian team/website tools/very-long-name-of-a-repository-that-goes-on-and-on/and-has/several/parts; do
		put_image "$name" latest amd64 $((RANDOM * 40 + 2000)) || return 1
	done
	put_image team/app v1.0 amd64 900000 400000 3000
	cp image.json old.json
	put_manifest team/app latest old.json $OCI.image.manifest.v1+json
	put_image team/app v1.1 arm64 800000 500000
	cp image.json arm.json
	put_image team/app v1.1 amd64 1200000 2600000 4000 900000 60000
	cp image.json amd.json
	put_manifest team/app latest amd.json $OCI.image.manifest.v1+json
	put_referrer team/app amd.json application/spdx+json '{"spdxVersion":"SPDX-2.3"}'
	cp referrer.json sbom.json
	put_referrer team/app amd.json application/vnd.cncf.notary.signature 'signed'
	printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s,%s]}' $OCI.image.index.v1+json \
		"$(descriptor $OCI.image.manifest.v1+json amd.json ',"platform":{"os":"linux","architecture":"amd64"}')" \
		"$(descriptor $OCI.image.manifest.v1+json arm.json ',"platform":{"os":"linux","architecture":"arm64","variant":"v8"}')" >index.json
	put_manifest team/app multi index.json $OCI.image.index.v1+json
}

# browse PATH OPTIONS...: Chromium with nobody's profile; $said is what it prints.
browse() {
	local path=$1
	shift
	rm -rf "$work/profile"
	# What it says of the machine's missing desktop is no news.
	LIMIT=90 works sh -c 'exec chromium "$@" 2>/dev/null' chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run \
		--user-data-dir="$work/profile" --virtual-time-budget=4000 "$@" "$url$path"
}

# shows PATH TEXT...: the page holds each text, as the browser has it and as the server sends it; nothing in it runs.
shows() {
	local path=$1 text
	shift
	fetch "$path"
	! grep -Eiq '<script|<[^>]* on[a-z]+=|javascript:' "$work/body" || bad "$path holds a script"
	grep -qi "^content-security-policy: default-src 'none'" "$work/headers" || bad "$path has no policy"
	for text; do grep -Fq -- "$text" <<<"$said" || bad "$path does not show '$text'"; done
	browse "$path" --dump-dom
	for text; do grep -Fq -- "$text" <<<"$said" || bad "$path does not show '$text' in the browser"; done
	grep -Eq '<title>[^<]* – Registry</title>' <<<"$said" || bad "$path has another title: something else wrote it"
}

# shot NAME PATH: light, dark and telephone, for whoever wants to look.
shot() {
	[ -n "${PAGE_SHOTS:-}" ] || return 0
	mkdir -p "$PAGE_SHOTS"
	browse "$2" --screenshot="$PAGE_SHOTS/$1-light.png" --window-size=1280,1000
	browse "$2" --screenshot="$PAGE_SHOTS/$1-dark.png" --window-size=1280,1000 --blink-settings=preferredColorScheme=0
	browse "$2" --screenshot="$PAGE_SHOTS/$1-phone.png" --window-size=500,1000
}

page_in_chromium() {
	needs chromium curl
	trap stop_server EXIT
	start_server page || exit 1
	shows / 'Nothing is stored here yet' "docker push $at/app"
	fill
	local amd arm old multi sbom
	amd=$(digest_of amd.json) arm=$(digest_of arm.json) old=$(digest_of old.json) multi=$(digest_of index.json) sbom=$(digest_of sbom.json)
	shows / '<h1>Repositories</h1>' '/-/repository/team/app"' 'Skip to the content'
	shows '/?q=team/' team/app team/website
	! grep -q infra/proxy <<<"$said" || bad "the search for team/ shows infra/proxy"
	shows /-/repository/team/app "docker pull $at/team/app:latest" v1.0 '2 platforms' anonymous
	shows /-/tag/team/app:latest 'Bring back' "/-/manifest/team/app@$old"
	shows "/-/manifest/team/app@$amd" 'RUN pip install -r requirements.txt' 'linux/amd64' 'SBOM (SPDX)' 'Signature (Notary)' \
		'CMD [' '&lt;script&gt;document.title' 'U+202E' 'bytes in all' "/-/manifest/team/app@$sbom"
	shows "/-/manifest/team/app@$multi" 'linux/arm64/v8' "/-/manifest/team/app@$arm"
	shows "/-/manifest/team/app@$sbom" '&lt;i&gt;sbom&lt;/i&gt;.json' "/-/manifest/team/app@$amd"
	shows /-/storage 'Could be collected' 'By repository'
	shows /-/nowhere 'There is no such page'
	shot home /
	shot repository /-/repository/team/app
	shot tag /-/tag/team/app:latest
	shot manifest "/-/manifest/team/app@$amd?tag=latest"
	shot index "/-/manifest/team/app@$multi"
	shot storage /-/storage
	shot nowhere /-/nowhere
}

# The way back needs no browser, only what one sends.
page_undo() {
	needs curl
	trap stop_server EXIT
	start_server undo || exit 1
	put_image app latest amd64 1000
	cp image.json old.json
	put_image app latest amd64 2000
	local old seen form
	old=$(digest_of old.json)
	fetch /-/tag/app:latest
	status 200
	seen=$(sed -n 's/.*name="seen" value="\([0-9]*\)".*/\1/p' "$work/body")
	form="digest=$old&seen=$seen"
	fetch /-/tag/app:latest --data "$form"
	status 403
	fetch /-/tag/app:latest --data "$form" --header 'Origin: http://elsewhere.example'
	status 403
	fetch /-/tag/app:latest --data "$form" --header 'Sec-Fetch-Site: cross-site' --header "Origin: $url"
	status 403
	fetch /-/tag/app:latest --data "digest=$old" --header "Origin: $url"
	status 400
	fetch /-/tag/app:latest --data "$form" --header "Origin: $url"
	status 303
	fetch "$(sed -n 's/^location: *\(.*\)\r$/\1/p' "$work/headers")"
	status 200
	mentions 'Done: the tag names'
	fetch /v2/app/manifests/latest
	grep -qi "docker-content-digest: $old" "$work/headers" || bad "the tag does not name what it named before"
	# Whoever looked before somebody else moved it overwrites nothing.
	fetch /-/tag/app:latest --data "$form" --header "Origin: $url"
	status 409
}
