#!/bin/sh
# A machine in namespaces, for machine.ts: a root of its own, below it /usr as it is here, and a process 1 that believes it rules a computer.
#
#     unshare --mount sh machine.sh make FOLDER NAME PROGRAM...
#     unshare --mount sh machine.sh sweep FOLDER
#
# - FOLDER/files is copied over the root; FOLDER/modules, FOLDER/runtime name what is shown in it read-only.
# - What the machine writes goes to memory that goes with it: it sees nothing else that could be written to, which is looked at before
#   process 1 starts. Its network is that of the caller, which may not be this computer's own.
# - `reboot` in it starts process 1 again on the same disk, with an empty firewall and its interfaces down; anything else is the end.
# - Its control group is removed with it. `sweep` removes the groups of machines whose test has ended, or is the caller, in FOLDER, an empty one;
#   so does the start of the next machine.
set -eu

refuse() {
	echo "no machine: $*" >&2
	exit 70
}

# Control groups go from the leaves up, as soon as the last process in them is gone.
remove_groups() {
	for attempt in 1 2 3 4 5 6 7 8 9 10; do
		find "$1" -depth -type d -exec rmdir {} + 2> /dev/null || true
		[ -d "$1" ] || return 0
		sleep 0.1
	done
}

show_groups() {
	mkdir -p groups
	mount -t cgroup2 cgroup2 groups || refuse "no cgroup2"
}

# Their names are those of the tests' processes; `$1`, if given, counts as ended.
remove_orphans() {
	for group in groups/postern-*; do
		owner=${group#groups/postern-}
		owner=${owner%%-*}
		[ ! -d "$group" ] || { [ -e "/proc/$owner" ] && [ "$owner" != "${1-}" ]; } || remove_groups "$group"
	done
}

sweep() {
	mount --make-rprivate /
	cd "$1"
	show_groups
	remove_orphans "$PPID"
}

make() {
	folder=$1 name=$2
	shift 2
	[ "$(readlink /proc/self/ns/net)" != "$(readlink /proc/1/ns/net)" ] || refuse "this would be the computer's own network"
	mount --make-rprivate /
	cd "$folder"
	mkdir root
	show_groups
	remove_orphans
	make_disk
	child=
	trap '[ -z "$child" ] || kill -KILL "$child"' TERM INT HUP
	status=129
	while [ "$status" = 129 ]; do
		mkdir "groups/$name"
		sh -c 'echo $$ > "$0" && exec "$@"' "groups/$name/cgroup.procs" \
			unshare --cgroup --pid --ipc --uts --mount --fork --kill-child sh "$script" boot "$@" &
		child=$!
		status=0
		wait "$child" || status=$?
		# A signal to this shell ends the first wait, not the machine.
		wait "$child" 2> /dev/null || true
		child=
		remove_groups "groups/$name"
	done
	exit "$status"
}

make_disk() {
	mount -t tmpfs -o mode=755 machine root
	(
		cd root
		mkdir usr etc proc sys dev run tmp var var/lib var/log var/cache var/tmp root home mnt srv .old .usr .usr/upper .usr/work
		chmod 1777 var/tmp
		ln -s /run var/run
		for link in bin sbin lib lib32 lib64 libx32; do
			[ ! -d "/$link" ] || [ -L "/$link" ] || refuse "/$link is not in /usr"
			[ ! -L "/$link" ] || cp -a "/$link" .
		done
		mount -t overlay -o "lowerdir=/usr,upperdir=$PWD/.usr/upper,workdir=$PWD/.usr/work" machine usr
		mount -t tmpfs -o mode=755 machine usr/local
		for file in alternatives ld.so.cache ld.so.conf ld.so.conf.d nsswitch.conf protocols services; do
			[ ! -e "/etc/$file" ] || cp -a "/etc/$file" etc/
		done
		cp -a ../files/. .
		modules=usr/local/lib/node_modules/postern/node_modules
		mkdir "$modules" usr/local/bin
		mount --bind -o ro "$(readlink -f ../modules)" "$modules"
		for program in posternd postern knockd knock; do
			ln -s "../lib/node_modules/postern/bin/$program" usr/local/bin/
		done
		# Where this computer's own Node is elsewhere, the one that runs the tests is the machine's.
		if [ ! -e usr/bin/node ]; then
			touch usr/local/bin/node
			mount --bind -o ro "$(readlink -f ../runtime)" usr/local/bin/node
		fi
	)
}

boot() {
	[ $$ = 1 ] || refuse "this is not the first process of a namespace"
	mount --make-rprivate /
	cd root
	mount -t tmpfs -o mode=755 machine dev
	for node in null zero full random urandom tty; do cp -a "/dev/$node" dev/; done
	mkdir dev/pts dev/shm dev/mqueue
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 machine dev/pts
	mount -t tmpfs -o mode=1777 machine dev/shm
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	for number in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${number%:*}" "dev/${number#*:}"; done
	mount -t tmpfs -o mode=755 machine run
	mount -t tmpfs -o mode=1777 machine tmp
	mount -t proc -o nosuid,nodev,noexec proc proc
	for part in sys irq bus fs sysrq-trigger; do
		[ ! -e "proc/$part" ] || mount --bind -o ro "proc/$part" "proc/$part"
	done
	for part in kcore kmsg keys timer_list; do
		[ ! -e "proc/$part" ] || mount --bind -o ro dev/null "proc/$part"
	done
	# Each start has its own: so programs tell that the machine was down.
	cat proc/sys/kernel/random/uuid > run/boot_id
	mount --bind -o ro run/boot_id proc/sys/kernel/random/boot_id
	rm run/boot_id
	mount -t sysfs -o nosuid,nodev,noexec sysfs sys
	mount -o remount,bind,ro,nosuid,nodev,noexec sys
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
	pivot_root . .old
	cd /
	umount -l /.old
	alone
	hostname machine
	for face in /sys/class/net/eth*; do ip link set "${face##*/}" down; done
	nft flush ruleset
	# Nothing of the kernel's that has no namespace: its modules, clock, log and memory.
	exec env -i container=postern PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog,-sys_pacct,-mac_admin,-mac_override,-wake_alarm,-block_suspend \
		"$@" < /dev/null
}

# Whatever can be written to is of this machine, or what the kernel shows of its namespaces.
alone() {
	[ -e /sys/fs/cgroup/cgroup.events ] || refuse "its control group would be that of the whole computer"
	while read -r _ _ _ _ place options rest; do
		case $options in rw | rw,*) ;; *) continue ;; esac
		rest=" $rest"
		case ${rest##* - } in
		'tmpfs machine '* | 'overlay machine '* | 'devpts machine '* | 'proc proc '* | 'cgroup2 cgroup2 '*) ;;
		*) refuse "$place could be written to: $rest" ;;
		esac
	done < /proc/self/mountinfo
}

script=$(readlink -f "$0")
what=$1
shift
case $what in make | boot | sweep) "$what" "$@" ;; *) refuse "make, boot or sweep" ;; esac
