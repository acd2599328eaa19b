#!/bin/bash
# `make install` into a folder: both programs run from there, the manual pages are right, the shells' completions complete, and a C
# program finds the library through pkg-config and reads a cache. `uninstall` leaves nothing behind.
set -u
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root/opt/softcache
checks="installs everybody_may_read refuses programs_run manual_pages_are_clean bash_completes zsh_reads_its_completions c_program_reads_a_cache package_is_hardened uninstalls"

skip_all() {
    for check in $checks; do echo "ok $check # SKIP $1"; done
    exit 0
}
! ldd "$build/student_train" | grep -qE 'lib[atu]b?san' || skip_all "a sanitized build is not installed"
check() { # NAME, then a command; its output explains a failure
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then echo "ok $name"; else echo "not ok $name: $output"; fi
}

shared=("$build"/libsoftcache_views.so)
for object in "$build"/softcache_{onednn,onnxruntime,webp,tiff}.so; do
    [ ! -e "$object" ] || shared+=("$object")
done
put() { PREFIX=/opt/softcache DESTDIR=$work/root VERSION=1.2 scripts/install.sh "$build" "$build/teacher_dump" "$build/student_train" "${shared[@]}"; }
# An earlier version had a backend more; the administrator's files are private otherwise.
install_again() {
    mkdir -p "$root/lib/softcache" && echo old >"$root/lib/softcache/softcache_cuda.so"
    (umask 077 && put) && [ ! -e "$root/lib/softcache/softcache_cuda.so" ]
}
check installs install_again
readable() { [ -z "$(find "$work/root" ! -perm -o=r)$(find "$work/root" -type d ! -perm -o=x)" ] || { find "$work/root" ! -perm -o=r; return 1; }; }
check everybody_may_read readable
refuses() {
    local output
    output=$(PREFIX=there scripts/install.sh "$build" "$build/teacher_dump" 2>&1)
    [ $? = 64 ] && [[ $output == *absolute* ]] && [ ! -e there ] || { echo "PREFIX=there: $output"; return 1; }
}
check refuses refuses

photos() {
    "$build/synthetic_images" --out "$work/photos" --train 12 --val 4 --classes 10 --width 48 --height 48 &&
        env -i "$root/bin/teacher_dump" run --quiet --data "$work/photos" --teacher tests/golden/teachers/tiny.onnx --views 2 --base 48 \
            --teacher-check off --out "$work/cache" &&
        env -i "$root/bin/student_train" losses >/dev/null
}
check programs_run photos

pages() {
    local page
    for page in "$root"/share/man/man1/*.1; do
        groff -man -Tutf8 -ww "$page" 2>"$work/warnings" >/dev/null
        [ ! -s "$work/warnings" ] || { cat "$work/warnings"; return 1; }
    done
    if command -v mandoc >/dev/null; then
        mandoc -Tlint -W warning "$root"/share/man/man1/*.1 || return 1
    fi
    groff -man -Tascii -P-cbou "$root/share/man/man1/teacher_dump.1" | grep -q -- '--teacher-engine auto|native|onnxruntime' || { echo "no --teacher-engine"; return 1; }
    groff -man -Tascii -P-cbou "$root/share/man/man1/student_train.1" | grep -q '^ *130 ' || { echo "no exit codes"; return 1; }
}
if command -v groff >/dev/null; then check manual_pages_are_clean pages; else echo "ok manual_pages_are_clean # SKIP no groff"; fi

# Prints what bash offers for the words of a command line, of which the last is being typed.
offers() {
    bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "_$1"; echo "${COMPREPLY[*]}"' - \
        "$root/share/bash-completion/completions/$1" "$@"
}
bash_offers() { # EXPECTED WORD...
    local expected=$1 got
    shift
    got=$(offers "$@")
    [ "$got" = "$expected" ] || { echo "$*: offers '$got', not '$expected'"; return 1; }
}
in_bash() {
    bash_offers "eval export" student_train e &&
        bash_offers "sgd" student_train fit --cache c --optimizer s &&
        bash_offers "--epochs --epsilon" student_train fit --ep &&
        bash_offers "auto" teacher_dump run --teacher-engine a &&
        bash_offers "" student_train fit --cache c # a file
}
check bash_completes in_bash

in_zsh() {
    local program
    for program in teacher_dump student_train; do
        zsh -n "$root/share/zsh/site-functions/_$program" || return 1
        # _arguments itself reads every line: with one option typed, it must offer nothing wrong.
        zsh -fc 'autoload -Uz compinit; fpath=("$1" $fpath); compinit -u -d "$2"; [[ -n ${_comps['"$program"']} ]]' - \
            "$root/share/zsh/site-functions" "$work/zcompdump" || { echo "$program has no completion"; return 1; }
    done
}
if command -v zsh >/dev/null; then check zsh_reads_its_completions in_zsh; else echo "ok zsh_reads_its_completions # SKIP no zsh"; fi

reads() {
    local flags output
    flags=$(PKG_CONFIG_PATH=$root/lib/pkgconfig pkg-config --define-variable=prefix="$root" --cflags --libs softcache) || return 1
    # shellcheck disable=SC2086 # words
    cc -Wall -Wextra -Werror "$root/share/doc/softcache/read_cache.c" $flags -lm -o "$work/read_cache" || return 1
    output=$("$work/read_cache" "$work/cache") || { echo "$output"; return 1; }
    [[ $output =~ ^"12 samples, 2 views each, 10 classes: the teacher is right on "[0-9]+" of 24 views"$ ]] || { echo "it printed: $output"; return 1; }
    ! "$work/read_cache" "$work/photos" 2>"$work/error" && grep -q cache.json "$work/error"
}
check c_program_reads_a_cache reads

# The Makefile says whose flags a package gets; those that do not harden are left out.
hardened() {
    local flags flag
    flags=" $(sed -n 's/^HARDENING := //p' Makefile) "
    for flag in $(for kind in CFLAGS CPPFLAGS LDFLAGS; do DEB_BUILD_MAINT_OPTIONS=hardening=+bindnow dpkg-buildflags --get $kind; done); do
        case $flag in
        -g | -O2 | -ffile-prefix-map=* | -Wdate-time) ;;
        -Wl,-z,now) [[ $flags == *",-z,now "* ]] || { echo "HARDENING lacks $flag"; return 1; } ;;
        *) [[ $flags == *" $flag"[\ ,]* ]] || { echo "HARDENING lacks $flag"; return 1; } ;;
        esac
    done
}
if command -v dpkg-buildflags >/dev/null && grep -q '^12' /etc/debian_version; then
    check package_is_hardened hardened
else
    echo "ok package_is_hardened # SKIP not Debian 12 with dpkg-dev"
fi

gone() {
    PREFIX=/opt/softcache DESTDIR=$work/root scripts/install.sh --remove
    [ -z "$(find "$work/root" -type f)" ] || { find "$work/root" -type f; return 1; }
}
check uninstalls gone
