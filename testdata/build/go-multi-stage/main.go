// Prints the UUID of a name.
package main

import (
	"fmt"
	"os"

	"github.com/google/uuid"
)

func main() {
	fmt.Println(uuid.NewSHA1(uuid.NameSpaceDNS, []byte(os.Args[1])), os.Getuid())
}
