// Package tarball translates between archives and tar files.
//
// What it writes is the pax format as GNU tar reads and writes it: times to the
// nanosecond, names of any bytes, extended attributes (SCHILY.xattr), POSIX ACLs
// (SCHILY.acl) and holes (GNU sparse 1.0), which Go's archive/tar cannot write.
// Equal archives make equal tar files.
//
// What it reads is any tar file that Go's archive/tar reads. Its members come in
// any order, and several may have one name; an archive is sorted. So content is
// stored as it comes, entries are kept sorted, in memory and what is too much for
// it in a temporary file, until the end of the file, and
// the tree is made from them then:
//
//	decompress → members ─┬ content → chunks → packs
//	                      └ entries ─ at the end, sorted → tree → commit
package tarball
