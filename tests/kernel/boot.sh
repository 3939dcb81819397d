#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tests/kernel/boot.sh KERNEL FOLDER SECONDS COMMAND: boots a Debian kernel in QEMU (no KVM needed) on this machine's own user land, read-only, and
# runs COMMAND there as root with bash.  FOLDER is writable there as /mnt (and is the only thing that outlives the machine); the command's
# exit status is in FOLDER/status, what the console said in FOLDER/console.  /run, /dev/shm and /var/tmp are memory.
set -eu
kernel=$1 folder=$2 limit=$3
shift 3
version=${kernel##*/vmlinuz-}
root=$(mktemp -d "${TMPDIR:-/tmp}/om-boot.XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,mod,r}
cp /bin/busybox "$root/bin/busybox"
: >"$root/mod/order"
for m in virtio_pci 9p 9pnet_virtio overlay; do
	/sbin/modprobe -S "$version" --show-depends "$m" 2>/dev/null | awk '$1 == "insmod" { print $2 }' | while read -r f; do
		b=$(basename "${f%.xz}")
		[ ! -e "$root/mod/$b" ] || continue
		case $f in *.xz) xz -dc "$f" >"$root/mod/$b" ;; *) cp "$f" "$root/mod/$b" ;; esac
		echo "$b" >>"$root/mod/order"
	done
done
cp "$(dirname "$0")/init" "$root/init"
chmod +x "$root/init"
printf '%s\n' "$*" >"$folder/command"
cp "$(dirname "$0")/second" "$folder/second"
(cd "$root" && find . | cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) >"$folder/initrd"
timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 1024 -smp 2 -nographic -no-reboot -nodefaults \
	-serial "file:$folder/console" -kernel "$kernel" -initrd "$folder/initrd" -append "console=ttyS0 quiet panic=-1 mitigations=off" \
	-virtfs local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap \
	-virtfs "local,path=$folder,mount_tag=share,security_model=none" </dev/null
