#!/bin/sh
# Makes a Debian 12 machine the classroom VM: provision.sh REPOSITORY, as root, the first time with the network.
#
# Vagrantfile and vm/lima.yaml run it; it may run again at any time. REPOSITORY is a folder that is
# shared with the reader's computer, so nothing of this machine's own may lie in it.
set -eu
repository=${1:?the folder of the repository}
[ "$(id -u)" = 0 ] || { echo 'provision.sh: has to run as root' >&2; exit 125; }
[ -x "$repository/mydocker" ] || { echo "provision.sh: no mydocker in $repository" >&2; exit 125; }

# Interpreter and packages of this machine: not in the shared folder, where they would meet those
# of the reader's own computer. Every login has the variable, and sudo keeps it.
venv=/var/lib/mydocker-venv
sed -i '/^MYDOCKER_VENV=/d' /etc/environment
echo "MYDOCKER_VENV=$venv" >>/etc/environment
mkdir -p /etc/sudoers.d
echo 'Defaults env_keep += "MYDOCKER_VENV"' >/etc/sudoers.d/mydocker
chmod 440 /etc/sudoers.d/mydocker

# The project's own set-up, with all that tests and notebooks need. After the first time nothing is
# missing, and no network is asked.
dpkg -s git python3 python3-venv sudo >/dev/null 2>&1 || {
    apt-get -q update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install \
        --no-install-recommends git python3 python3-venv sudo >/dev/null
}
MYDOCKER_VENV=$venv "$repository/mydocker" setup --test

# Whoever logs in is where the commands are.
cat >/etc/profile.d/mydocker.sh <<END
[ "\$PWD" = "\$HOME" ] && cd '$repository'
END

# JupyterLab listens on 127.0.0.1:8888, which a port forwarded into the machine does not reach.
cat >/etc/systemd/system/mydocker-notebook.socket <<'END'
[Unit]
Description=The way from outside to the notebooks

[Socket]
ListenStream=8889

[Install]
WantedBy=sockets.target
END
cat >/etc/systemd/system/mydocker-notebook.service <<'END'
[Unit]
Description=The way from outside to the notebooks
Requires=mydocker-notebook.socket

[Service]
ExecStart=/lib/systemd/systemd-socket-proxyd 127.0.0.1:8888
END
systemctl daemon-reload
systemctl enable --quiet --now mydocker-notebook.socket
echo "ready: cd $repository && sudo ./mydocker run --rm busybox echo hello"
