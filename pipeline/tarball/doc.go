// Package tarball writes archives as tar files.
//
// What it writes is the pax format as GNU tar reads and writes it: times to the
// nanosecond, names of any bytes, extended attributes (SCHILY.xattr), POSIX ACLs
// (SCHILY.acl) and holes (GNU sparse 1.0), which Go's archive/tar cannot write.
// Equal archives make equal tar files.
package tarball
