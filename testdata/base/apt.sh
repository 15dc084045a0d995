# Sourced by the scripts here: packages and mirrors, by apt's own configuration alone.
#
# An ordinary user cannot write the system's package lists, so where those lack a package,
# a private copy of the lists is fetched into the cache folder.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/estiba/base

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# Which files apt uses: the system's, or our own after private_lists.
apt_options=

# Anything that apt would write goes below $cache; its sources and keys stay the system's.
private_lists() {
	[ -z "$apt_options" ] || return 0
	lists=$cache/apt
	mkdir -p "$lists/lists/partial" "$lists/archives/partial"
	apt_options="-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -oDir::State::Lists=$lists/lists -oDir::Cache=$lists -oDir::Cache::Archives=$lists/archives
		-oDebug::NoLocking=1 -oAPT::Sandbox::User=$(id -un)"
	say "fetching package lists into $lists"
	# A source that cannot be reached must not matter when another one has the package.
	apt-get $apt_options -qq update >&2 || true
}

has_package() { apt-cache $apt_options show "$1" >/dev/null 2>&1; }

# Downloads package $1 and prints the .deb's path.
fetch_package() {
	has_package "$1" || private_lists
	has_package "$1" || die "apt's sources have no package $1"
	debs=$cache/debs
	mkdir -p "$debs/partial.$$"
	if ! (cd "$debs/partial.$$" && apt-get $apt_options -qq -oAPT::Sandbox::User="$(id -un)" download "$1" >&2); then
		# The system's lists may be older than what the mirror holds.
		private_lists
		(cd "$debs/partial.$$" && apt-get $apt_options -qq download "$1" >&2) || {
			rm -rf "$debs/partial.$$"
			die "apt could not download $1"
		}
	fi
	for deb in "$debs/partial.$$"/*.deb; do
		mv "$deb" "$debs/"
		printf '%s\n' "$debs/${deb##*/}"
	done
	rmdir "$debs/partial.$$"
}

# Prints "URI RELEASE COMPONENT" for each Debian source of suite $1 that apt is configured with.
debian_sources() {
	found=$(apt-get $apt_options indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 'Origin: Debian' 2>/dev/null) || true
	# Before the first update apt knows of no origin: then the release's name has to do.
	[ -n "$found" ] || found=$(apt-get $apt_options indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 2>/dev/null) || true
	printf '%s\n' "$found" | awk -v suite="$1" '
		$2 == suite || $2 == suite "-updates" || $2 == suite "-security" { if (!seen[$0]++) print }'
}
