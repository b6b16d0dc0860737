package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
)

// healthTimeout is more than a process takes for the answer.
const healthTimeout = 5 * time.Second

func newHealth() *cobra.Command {
	return &cobra.Command{
		Use: "health URL", Short: "Ask a running process whether it is ready", Args: cobra.ExactArgs(1),
		Long: "Asks a running API or worker for /readyz, at its API or at its metrics address, and shows the answer. It " +
			"fails if the process is not ready: for health checks of containers, which have no other program to ask with.",
		Example: "  keyturn health http://127.0.0.1:9465\n  keyturn health https://keys.shop.example",
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := askHealth(cmd.Context(), strings.TrimRight(args[0], "/")+"/readyz")
			if err != nil {
				return err
			}
			if err := show(cmd, h, func(w io.Writer) { fmt.Fprintln(w, describeHealth(h)) }); err != nil {
				return err
			}
			if h.Status != keyturn.HealthOK {
				return keyturn.Errorf(keyturn.KindUnavailable, "the process is not ready")
			}
			return nil
		},
	}
}

func askHealth(ctx context.Context, address string) (h keyturn.Health, err error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return h, keyturn.Errorf(keyturn.KindInvalid, "the address is not a URL such as http://127.0.0.1:9464: %w", err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return h, keyturn.Errorf(keyturn.KindUnavailable, "the process does not answer: %w", err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&h); err != nil || h.Status == "" {
		return h, keyturn.Errorf(keyturn.KindBadReply, "%s answers %s and is no process of Keyturn's", address, answer.Status)
	}
	return h, nil
}

func describeHealth(h keyturn.Health) string {
	text := h.Status
	for _, part := range []struct{ name, is string }{
		{"database", h.Database},
		{"Temporal", h.Temporal},
		{"missing search attributes", strings.Join(h.MissingSearchAttributes, ", ")},
	} {
		if part.is != "" {
			text += "; " + part.name + ": " + part.is
		}
	}
	return text
}
