package crypt

import (
	"bytes"
	"encoding/pem"

	"cairn/objects"
)

const keyFileType = "CAIRN KEY"

// EncodeKeyFile returns the text of a key file that holds a slot's body
// (FORMAT.md §5.3). It is to be kept outside the repository, mode 0600.
func EncodeKeyFile(body []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: keyFileType, Bytes: body})
}

// DecodeKeyFile returns the body that a key file holds. Text before the block
// and foreign line ends are let pass, for key files travel through editors
// and mail; the body's own seal says whether it is whole.
func DecodeKeyFile(p []byte) (body []byte, err error) {
	block, rest := pem.Decode(p)
	switch {
	case block == nil:
		return nil, objects.Corrupt("key file", "it has no PEM block")
	case block.Type != keyFileType:
		return nil, objects.Corrupt("key file", "its block is %q, want %q", block.Type, keyFileType)
	case len(block.Headers) > 0:
		return nil, objects.Corrupt("key file", "its block has headers")
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, objects.Corrupt("key file", "something follows its block")
	}
	if _, _, err := PeekSlot(block.Bytes); err != nil {
		return nil, err
	}
	return block.Bytes, nil
}
