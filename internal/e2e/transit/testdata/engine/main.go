// Command engine serves the transit engine of HashiCorp Vault over HTTP, as its
// server does, without the server: one mount, one token, storage in memory.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/sdk/logical"
)

func main() {
	storage := &logical.InmemStorage{}
	engine, err := transit.Factory(context.Background(), &logical.BackendConfig{StorageView: storage, System: logical.TestSystemView()})
	if err == nil {
		_, err = engine.HandleRequest(context.Background(), &logical.Request{Operation: logical.UpdateOperation, Path: "keys/allod", Storage: storage})
	}
	listener, lerr := net.Listen("tcp", "127.0.0.1:0")
	if err = errors.Join(err, lerr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, err error) {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{err.Error()}})
		}
		path, ok := strings.CutPrefix(r.URL.Path, "/v1/transit/")
		if r.Header.Get("X-Vault-Token") != "root" || !ok {
			refuse(http.StatusForbidden, errors.New("permission denied"))
			return
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			refuse(http.StatusBadRequest, err)
			return
		}
		res, err := engine.HandleRequest(r.Context(), &logical.Request{Operation: logical.UpdateOperation, Path: path, Data: body, Storage: storage})
		status, err := logical.RespondErrorCommon(&logical.Request{Operation: logical.UpdateOperation}, res, err)
		if err != nil {
			refuse(status, err)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": res.Data})
	}))
}
