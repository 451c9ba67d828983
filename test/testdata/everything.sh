# Makes, in the working directory, a tree with everything that a file can have.
# The argument is the file system: not all of them have all of it. Root runs it.
set -euo pipefail
umask 022
fs=$1
random() { head -c "$1" /dev/urandom; }

# Names are bytes: newlines, no UTF-8, leading dashes and dots, and long ones.
mkdir names
for name in $'new\nline' $'no\xff\xfeUTF-8' '-rf' ' ' '...' '"quoted"' $'\x01' 'ä' "$(printf 'x%.0s' {1..255})"; do
	echo "$name" >"names/$name"
done
mkdir -p "names/$(printf 'd%.0s' {1..200})/$(printf 'e%.0s' {1..200})/-/ "

# Permission bits, of files and directories. Root can enter those without any.
mkdir modes
for mode in 0000 0400 0444 0600 0755 0777 1644 2755 4755 6711; do
	random 100 >"modes/f$mode"
	mkdir "modes/d$mode"
	echo inside >"modes/d$mode/f"
	chmod "$mode" "modes/f$mode" "modes/d$mode"
done

# Owners: with and without names, and with bits that chown takes away.
mkdir owners
for owner in 0:0 65534:0 0:65534 1234567:7654321 4294967294:1; do
	random 10 >"owners/$owner"
	chown "$owner" "owners/$owner"
	chmod 6755 "owners/$owner"
	ln -s target "owners/link-$owner"
	chown -h "$owner" "owners/link-$owner"
done
chown 1234567:7654321 owners

# Hard links: of files, across directories, of symbolic links, fifos, devices.
mkdir -p links/a links/b
random 3000 >links/a/small; ln links/a/small links/b/small; ln links/a/small links/again
random 3000000 >links/a/large; ln links/a/large links/b/large
: >links/a/empty; ln links/a/empty links/b/empty
ln -s nowhere links/a/symlink; ln -P links/a/symlink links/b/symlink
mkfifo links/a/fifo; ln links/a/fifo links/b/fifo
mknod links/a/null c 1 3; ln links/a/null links/b/null

# Symbolic links: dangling, absolute, into the tree and out of it, long.
mkdir symlinks
ln -s /etc/passwd symlinks/absolute
ln -s ../.. symlinks/out
ln -s ../names symlinks/in
ln -s "$(printf 'y%.0s' {1..1000})" symlinks/long
ln -s symlinks symlinks/dangling

# Devices and fifos.
mkdir nodes
mkfifo -m 622 nodes/fifo
mknod -m 666 nodes/zero c 1 5
mknod -m 660 nodes/loop b 7 300
mknod -m 600 nodes/big c 500 200000
chown 65534:65534 nodes/fifo nodes/zero

# Extended attributes: none, empty, binary, of every namespace, on files that
# may not be written, on all types; and capabilities, which chown takes away.
large=3000
[ "$fs" = ext4 ] || large=15000 # above what an entry holds; ext4 has room for a block
mkdir xattrs
for path in xattrs/file xattrs/readonly xattrs/dir xattrs/capable; do
	if [ $path = xattrs/dir ]; then mkdir $path; else random 100 >$path; fi
	setfattr -n user.text -v "some text" $path
	setfattr -n user.empty $path
	setfattr -n user.binary -v 0x00ff0a80 $path
	setfattr -n trusted.mine -v yes $path
done
random $large | base64 -w0 >large.value
setfattr -n user.large -v "$(head -c $large large.value)" xattrs/file
rm large.value
chmod 0444 xattrs/readonly
chown 65534:65534 xattrs/capable
chmod 0755 xattrs/capable
setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 xattrs/capable
ln -s file xattrs/link
setfattr -h -n trusted.link -v yes xattrs/link
mkfifo xattrs/fifo
setfattr -n trusted.fifo -v yes xattrs/fifo
for i in {1..40}; do setfattr -n "user.many$i" -v $i xattrs/dir; done

# ACLs: access and default, users and groups with and without a name, a mask
# that takes permissions away, on all types that have them.
mkdir -p acls/default acls/both
for name in user group mask; do random 50 >acls/$name; done
setfacl -m u:nobody:rwx,u:1234567:r acls/user
setfacl -m g:daemon:rx,g:7654321:-,o:- acls/group
setfacl -m u:nobody:rwx,g:daemon:rwx,m:r acls/mask
chmod 0640 acls/mask
setfacl -d -m u:nobody:rwx,g:daemon:rx acls/default
echo inherits >acls/default/file
mkdir acls/default/dir
setfacl -m u:1234567:rx acls/both
setfacl -d -m u:1234567:rwx,m:rx acls/both
mkfifo acls/fifo
setfacl -m u:nobody:rw acls/fifo
mknod acls/device c 1 3
setfacl -m g:daemon:r acls/device

# Holes: at the beginning, in the middle, at the end, everywhere; one in a small
# file whose blocks its attributes make up for; zeros that are no hole.
mkdir holes
truncate -s 3M holes/leading; random 100000 >>holes/leading
random 100000 >holes/trailing; truncate -s 5M holes/trailing
truncate -s 7M holes/whole
truncate -s 64K holes/small
random 200000 >holes/middle; truncate -s 4M holes/middle; random 200000 >>holes/middle
truncate -s 100000 holes/odd; random 1 >>holes/odd; truncate -s 300000 holes/odd
truncate -s 8K holes/hidden; random 4096 >>holes/hidden
setfattr -n user.large -v "$(printf 'z%.0s' {1..2000})" holes/hidden
head -c 2000000 /dev/zero >holes/zeros
head -c 20000 /dev/zero >holes/small-zeros

# Large and empty.
: >empty
random 9000000 >large

# Times, with nanoseconds: before 1970, after 2038, of links and of directories
# that were filled later.
mkdir -p times/dir/dir
for path in times/old times/new times/dir/dir/file; do echo x >$path; done
ln -s x times/link
touch -d '1931-02-03 04:05:06.000000007' times/old
touch -d '2040-11-12 13:14:15.999999999' times/new
touch -h -d '1999-12-31 23:59:59.123456789' times/link
touch -a -d '2001-01-01 01:01:01.111111111' times/new
touch -d '1970-01-01 00:00:00' times/dir/dir/file times/dir
touch -d '2011-11-11 11:11:11.1' times/dir/dir

# Flags: every one that the file system has, of files and directories. C asks for
# an empty file, i and a let nothing be done afterwards.
mkdir -p flags/dirs
case $fs in
ext4) of_files=dAStsuc of_dirs=dASDTc ;;
xfs) of_files=dAS of_dirs=dAS ;;
btrfs) of_files=dASDcmC of_dirs=dASDcmC ;;
esac
for f in $(fold -w1 <<<$of_files); do
	: >flags/$f
	chattr +$f flags/$f
	random 5000 >flags/$f
done
for f in $(fold -w1 <<<$of_dirs); do
	mkdir flags/dirs/$f
	chattr +$f flags/dirs/$f
	echo inherits >flags/dirs/$f/file
done
for f in i a; do
	random 5000 >flags/$f
	random 4000000 >flags/large-$f
	chattr +d flags/$f
	mkdir flags/dirs/$f
	echo inside >flags/dirs/$f/file
	ln flags/$f flags/dirs/$f/link # to what no link can be made to later
	chattr +$f flags/$f flags/large-$f flags/dirs/$f
done
