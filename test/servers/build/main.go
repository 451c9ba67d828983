// Build makes the servers that the tests start, so that no test has to wait for
// it: from nothing it takes longer than a test may.
package main

import (
	"fmt"
	"os"

	"cairn/test/servers"
)

func main() {
	program, err := servers.BuildMinIO()
	if err != nil {
		fmt.Fprintln(os.Stderr, "build MinIO:", err)
		os.Exit(1)
	}
	fmt.Println(program)
}
