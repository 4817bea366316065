#!/bin/bash
# The private machine in which the book's transcripts run: what is typed there reaches nothing.
#
#   machine.sh PLACE STEPS GROUP COMMAND…
#
# Own namespaces of every kind but user and time; control groups of its own, which look as if they
# were the whole tree; /etc, /var/lib, /home, /tmp and /run of its own, and all else read-only. The
# directory PLACE (on a disk) is where it keeps its files: PLACE/lib is its /var/lib/mydocker. GROUP
# names its control groups. When the first process ends, the kernel ends all others; the caller
# removes PLACE and the groups.
set -e
place=$1
steps=$2
group=$3
shift 3

if [ "$1" != --inside ]; then
    # A group in each hierarchy, then a cgroup namespace: the group becomes the root of what is seen.
    while read -r _ _ _ _ point _ rest; do
        case " $rest " in *" - cgroup"*) ;; *) continue ;; esac
        mkdir -p "$point/$group"
        for file in cpuset.cpus cpuset.mems; do # in v1, empty ones let nobody in
            [ "${rest#*cgroup2}" != "$rest" ] || [ ! -e "$point/$file" ] ||
                cat "$point/$file" >"$point/$group/$file"
        done
        echo $$ >"$point/$group/cgroup.procs"
    done </proc/self/mountinfo
    # A group of v2 that hands controllers on has no processes: so in the one that looks like the root
    # there is none, nor the parent of the machine's first.
    exec unshare --cgroup sh -c '
        if [ -e /sys/fs/cgroup/cgroup.procs ]; then
            mkdir -p "/sys/fs/cgroup/$1/first" && echo 0 >"/sys/fs/cgroup/$1/first/cgroup.procs"
        fi
        shift && exec "$@"' sh "$group" \
        unshare --mount --net --pid --uts --ipc --fork --kill-child --mount-proc \
        "$0" "$place" "$steps" "$group" --inside "$@"
fi
shift

hostname host
ip link set lo up
here=$(dirname "$(dirname "$(realpath "$0")")")
below() { # directory: a layer over it, for what is written
    mkdir -p "/run/over$1/upper" "/run/over$1/work"
    mount -t overlay over -o "lowerdir=$1,upperdir=/run/over$1/upper,workdir=/run/over$1/work" "$1"
}
mount --bind "$place" "$place"
mkdir "$place/repository" "$place/steps" "$place/venv" 2>/dev/null || true
mount --rbind "$here" "$place/repository"
mount --bind "$steps" "$place/steps"
mount --bind "$MYDOCKER_VENV" "$place/venv"
mount -o remount,bind,ro / 2>/dev/null || true
mount -t tmpfs run /run
below /etc
below /var/lib
mount -t tmpfs tmp /tmp
mount -t tmpfs home /home
mkdir /var/lib/mydocker /var/lib/docker 2>/dev/null || true
mkdir -p "$place/lib" "$place/docker"
mount --bind "$place/lib" /var/lib/mydocker
mount --bind "$place/docker" /var/lib/docker
mkdir -p /home/student/mydocker /home/root
sed -i '1a student:x:1000:1000::/home/student:/bin/sh' /etc/passwd # before another with this id
sed -i '1a student:x:1000:' /etc/group
mount --bind "$place/repository" /home/student/mydocker
mount --bind "$place/steps" /home/student/mydocker/steps
mount -o remount,bind,ro /home/student/mydocker
mount --bind "$place/venv" /home/student/mydocker/.venv 2>/dev/null || true
chown student:student /home/student

world=$(stat -f -c %T /sys/fs/cgroup)
hierarchies=$(sed -n 's|.* /sys/fs/cgroup/\([^ ]*\) .* - \(cgroup2\?\) [^ ]* \(.*\)|\2 \1 \3|p' \
    /proc/self/mountinfo)
mount -t sysfs sysfs /sys # it shows the links of the network namespace that it was mounted in
if [ "$world" = cgroup2fs ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    while read -r kind name options; do
        mkdir "/sys/fs/cgroup/$name"
        options=${options#rw,}
        case $options in name=*) options=none,$options ;; esac
        case $kind in
        cgroup2) mount -t cgroup2 cgroup2 "/sys/fs/cgroup/$name" ;;
        *) mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$name" ;;
        esac
    done <<<"$hierarchies"
fi

cd /home/student/mydocker
unset MYDOCKER_ROOT MYDOCKER_RUN MYDOCKER_CGROUP_PARENT
exec env HOME=/home/root USER=root LOGNAME=root SHELL=/bin/sh "$@"
