package backend

// State is what a store's Inspect finds at its place.
type State int

// What can be at a place: nothing, not even what would hold a store; nothing yet;
// a store; or something that is none of these.
const (
	Missing State = iota // no directory, or no bucket
	Empty
	Ours
	Foreign
)

// The names in a store's place that no Key begins with: the register's, and that
// of what is being written.
const (
	headSegment = "head"
	tmpSegment  = "tmp"
)

// StateOf tells what the directory is that holds these names. The lost+found of
// a fresh file system does not count.
func StateOf(names []string) State {
	state := Empty
	for _, name := range names {
		switch name {
		case headSegment, tmpSegment:
			return Ours
		case "lost+found":
		default:
			state = Foreign
		}
	}
	return state
}
