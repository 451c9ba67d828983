// Package fileattr reads and sets what a file has besides its name, its content
// and its stat: extended attributes, ACLs and flags.
//
// Every system has a file of its own, and all offer the same few functions:
// what a File has is read with [File.Read] or [File.ReadAllButFlags], and set with [File.SetXattr],
// [File.SetACL] and [File.ChangeFlags], or taken away with [File.RemoveXattr] and
// [File.RemoveACL]. What they hand out is in the forms of
// package attr, which every system can read.
//
//   - Linux keeps POSIX ACLs in extended attributes, which are not handed out
//     twice. NFSv4 ACLs, which some file systems have as extended attributes, are
//     extended attributes here, too. Flags are read from files and directories
//     only: it takes opening them.
//   - FreeBSD has extended attributes of two namespaces, user and system, which
//     their names begin with. A file system has POSIX or NFSv4 ACLs. Symbolic
//     links, devices and fifos have nothing set but their flags.
//   - macOS has extended ACLs of its own kind. Devices and fifos have nothing but
//     flags here.
package fileattr
