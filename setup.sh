# The set-up, written once: ./mydocker and ./test both source this file.
#
# The caller sets $root, the folder of the repository. A set-up has a kind: `run` is what
# ./mydocker needs; others are that and an extra of pyproject.toml on top: `test`, `lab`, `notebook`,
# `site`.

case ${MYDOCKER_VENV-} in
'') venv=$root/.venv ;;
/*) venv=$MYDOCKER_VENV ;;
*) venv=$PWD/$MYDOCKER_VENV ;; # ./test goes to another folder before it is used
esac

# package:command, the command being what shows that the package is there on another system
packages_run='busybox-static:busybox iproute2:ip nftables:nft'
packages_book='strace:strace attr:setfattr procps:ps util-linux:unshare'
packages_test='zstd:zstd xz-utils:xz'

say() { printf 'mydocker: %s\n' "$*" >&2; }
fail() { say "$*"; exit 125; }

# Is the set-up of this kind done? Asked at every start, so nothing here forks.
# The stamp carries the time of the pyproject.toml that it was made for: an equal time, and not
# a later one, also notices an older version checked out, or a clock that runs behind.
is_set_up() { # kind; sets $python
    stamp=$venv/stamp-$1
    [ -e "$stamp" ] &&
        ! [ "$stamp" -nt "$root/pyproject.toml" ] &&
        ! [ "$stamp" -ot "$root/pyproject.toml" ] &&
        read -r python <"$stamp" && [ -x "$python" ]
}

set_up() { # kind
    is_set_up "$1" && return
    umask 022 # what root installs, everybody may read
    find_python
    need_root_for_packages "$1"
    mkdir -p "$venv" 2>/dev/null && [ -w "$venv" ] ||
        fail "cannot write to $venv; run: sudo $root/mydocker setup"
    # Two set-ups at once: the second waits, and then finds everything done.
    (
        trap 'exit 130' INT TERM HUP # also where sh would go on after a command that Ctrl-C ended
        command -v flock >/dev/null && flock 9
        is_set_up "$1" && exit
        claim_venv
        install_packages "$1"
        # nothing started from here may hold the lock longer than we do
        is_set_up run || fill_venv run 9<&-
        [ "$1" = run ] || fill_venv "$1" 9<&-
    ) 9<"$venv" || exit
    is_set_up "$1" || fail "set-up did not finish; run it again: $root/mydocker setup"
}

# The Python to make the virtual environment with. Debian's own comes first: `sudo` and the
# reader find the same one, whatever a version switcher puts on the reader's PATH.
find_python() {
    for base_python in /usr/bin/python3 python3; do
        "$base_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    done
    found=$(python3 --version 2>/dev/null || echo 'no python3')
    fail "needs Python 3.11 or newer and found $found; on Debian 12: apt-get install python3"
}

missing_packages() { # kind: prints the names
    wanted="$packages_run $packages_book"
    case $1 in test | lab) wanted="$wanted $packages_test" ;; esac
    PATH=$PATH:/usr/sbin:/sbin # an ordinary user's PATH lacks the folders of ip and nft
    for pair in $wanted; do
        if command -v dpkg-query >/dev/null; then
            status=$(dpkg-query -W -f '${db:Status-Status}' "${pair%:*}" 2>/dev/null)
            [ "$status" = installed ] || printf '%s ' "${pair%:*}"
        else
            command -v "${pair#*:}" >/dev/null || printf '%s ' "${pair#*:}"
        fi
    done
    "$base_python" -c 'import ensurepip, venv' 2>/dev/null || printf 'python3-venv '
}

need_root_for_packages() { # kind
    missing=$(missing_packages "$1")
    missing=${missing% }
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null ||
        fail "missing, and there is no apt-get to install it: $missing"
    [ "$(id -u)" = 0 ] ||
        fail "missing Debian packages; run: sudo apt-get install $missing"
}

install_packages() { # kind
    missing=$(missing_packages "$1")
    [ -z "$missing" ] && return
    say "installing Debian packages: ${missing% }"
    # One dead third-party list must not stop us: the installation itself tells whether it matters.
    quietly apt-get update || say "apt-get update failed; going on with the lists that are here"
    # shellcheck disable=SC2086  # several packages, several words
    quietly apt-get install -y --no-install-recommends $missing || {
        tail -n 5 "$venv/setup.log" >&2
        fail "apt-get could not install $missing(all of its output: $venv/setup.log)"
    }
}

# Runs a command without questions; what it prints goes to a file that is shown on failure.
quietly() {
    case $1 in
    apt-get) shift && set -- env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" ;;
    esac
    "$@" </dev/null >"$venv/setup.log" 2>&1 9<&-
}

# `unfinished` stands in a virtual environment that is being made. Found standing, that was
# interrupted: what it left is not to be trusted, and everything is made anew. One that is complete is
# only added to, and that may fail or be interrupted without taking anything away: see fill_venv.
claim_venv() {
    [ -e "$venv/unfinished" ] || [ -e "$venv/pyvenv.cfg" ] || {
        [ -z "$(ls -A "$venv")" ] || # MYDOCKER_VENV may name anything; it will be emptied below
            fail "$venv has files in it and is not a virtual environment; remove it or name another"
        : >"$venv/unfinished"
    }
}

fill_venv() { # kind
    version=$("$base_python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    packages=$venv/lib/python$version/site-packages
    if [ -e "$venv/unfinished" ] || ! [ -e "$packages/pip" ]; then
        find "$venv" -mindepth 1 -delete
        : >"$venv/unfinished"
        say "making a virtual environment in $venv"
        quietly "$base_python" -m venv "$venv" || setup_failed "python3 -m venv"
    else
        remove_halves
        # What is there now. pip adds to it, and leaves alone what is there and good enough.
        ls -A "$packages" >"$venv/before" && mv "$venv/before" "$venv/adding-to"
    fi
    install_wanted "$1" || {
        rm -f "$venv/adding-to" # pip undoes what it could not finish
        setup_failed "pip install"
    }
    # Compiled now, the steps also start fast for users who may not write here.
    [ "$1" = run ] && "$base_python" -m compileall -q "$root/steps" >/dev/null 2>&1
    put_stamp "$1"
    rm -f "$venv/unfinished" "$venv/adding-to"
}

# Found standing, `adding-to` tells that pip was interrupted, and what was there before it: the rest
# is half of something. pip will look at all the extras again; what `run` needs was not touched.
remove_halves() {
    [ -e "$venv/adding-to" ] || return
    ls -A "$packages" | grep -v -x -F -f "$venv/adding-to" | while IFS= read -r name; do
        rm -rf "${packages:?}/$name"
    done
    for stamp in "$venv"/stamp-*; do
        case $stamp in */stamp-run) ;; *) rm -f "$stamp" ;; esac
    done
}

install_wanted() { # kind
    touch -r "$root/pyproject.toml" "$venv/stamp-next" # the time before we read it
    wanted=$(requirements "$1") || setup_failed "reading pyproject.toml"
    names=$(for one in $wanted; do echo "${one%%[!A-Za-z0-9._-]*}"; done | uniq)
    # shellcheck disable=SC2086  # lines become words, here and below
    case $1 in
    run) say "installing Python packages:" $names "(less than a minute)" ;;
    *) say "installing Python packages:" $names "(a minute or two)" ;;
    esac
    # shellcheck disable=SC2086
    quietly "$venv/bin/python3" -m pip install --disable-pip-version-check --no-input $wanted
}

put_stamp() { # kind
    # The stamp names the interpreter itself: one that an upgrade of Python takes away.
    "$venv/bin/python3" -c 'import os, sys; print(os.path.realpath(sys.executable))' \
        >"$venv/stamp-text" && touch -r "$venv/stamp-next" "$venv/stamp-text"
    rm -f "$venv/stamp-next" "$venv/setup.log"
    # What `sudo` made in a user's checkout stays the user's.
    [ "$(id -u)" = 0 ] && find "$venv" "$root/steps" \( -path "$venv" -o -name __pycache__ \) \
        -prune -exec chown -R --reference="$root" {} +
    mv "$venv/stamp-text" "$venv/stamp-$1"
}

setup_failed() { # what
    tail -n 5 "$venv/setup.log" >&2
    fail "$1 failed (all of its output: $venv/setup.log)"
}

requirements() { # kind: from pyproject.toml, the one place that names them
    "$base_python" - "$1" "$root/pyproject.toml" <<'END'
import sys, tomllib

kind, path = sys.argv[1:]
with open(path, "rb") as file:
    project = tomllib.load(file)["project"]
extras = project.get("optional-dependencies", {})
# Named again, what run needs cannot be changed by an extra.
wanted, more = list(project["dependencies"]), [] if kind == "run" else extras[kind]
while more:
    requirement, *more = more
    if requirement.startswith("mydocker["):  # an extra that takes in others
        for extra in requirement[len("mydocker[") : -1].split(","):
            more += extras[extra]
    else:
        wanted.append(requirement)
print(*(requirement.replace(" ", "") for requirement in wanted))
END
}
