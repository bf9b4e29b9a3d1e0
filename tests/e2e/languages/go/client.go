// client TARGET METHOD REQUEST-HEX: makes the call, which must fail, and prints what Go's grpc and genproto read of it.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Passes bytes through as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v interface{}) ([]byte, error)      { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v interface{}) error { *v.(*[]byte) = data; return nil }
func (rawCodec) Name() string                               { return "proto" }

type result struct {
	Code       uint32            `json:"code"`
	Message    string            `json:"message"`
	Reason     string            `json:"reason"`
	Domain     string            `json:"domain"`
	Metadata   map[string]string `json:"metadata"`
	Fields     [][]string        `json:"fields"`
	Violations [][]string        `json:"violations"`
}

func main() {
	request, err := hex.DecodeString(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	connection, err := grpc.DialContext(ctx, os.Args[1], grpc.WithInsecure(), grpc.WithBlock())
	if err != nil {
		log.Fatal(err)
	}
	var response []byte
	err = connection.Invoke(ctx, os.Args[2], &request, &response, grpc.ForceCodec(rawCodec{}))
	read := status.Convert(err)
	out := result{Code: uint32(read.Code()), Message: read.Message(), Fields: [][]string{}, Violations: [][]string{}}
	for _, detail := range read.Details() {
		switch one := detail.(type) {
		case *errdetails.ErrorInfo:
			out.Reason, out.Domain, out.Metadata = one.Reason, one.Domain, one.Metadata
		case *errdetails.BadRequest:
			for _, v := range one.FieldViolations {
				out.Fields = append(out.Fields, []string{v.Field, v.Description})
			}
		case *errdetails.PreconditionFailure:
			for _, v := range one.Violations {
				out.Violations = append(out.Violations, []string{v.Type, v.Subject, v.Description})
			}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		log.Fatal(err)
	}
}
