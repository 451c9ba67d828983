package walk

// Xattr is one extended attribute, with the name the system gives it.
type Xattr struct {
	Name  string
	Value []byte
}

// XattrError says that an extended attribute could not be read, or with an
// empty Name that they could not be listed.
type XattrError struct {
	Path string
	Name string
	Err  error
}

func (e *XattrError) Error() string {
	if e.Name == "" {
		return "list extended attributes of " + e.Path + ": " + e.Err.Error()
	}
	return "read extended attribute " + e.Name + " of " + e.Path + ": " + e.Err.Error()
}

func (e *XattrError) Unwrap() error { return e.Err }
