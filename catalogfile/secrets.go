package catalogfile

import (
	"os"
	"path/filepath"
	"strings"

	"keyturn.dev/keyturn"
)

// maxSecretFile bounds a file that a catalog names: certificates and keys are a few kilobytes.
const maxSecretFile = 1 << 20

// secretReader replaces what a catalog says by name with what stands there.
type secretReader struct {
	folder string
	lookup func(string) (string, bool)
	bad    *keyturn.Problems
	failed bool
}

// read fills in the secrets and certificates of an integration and says whether all were there.
func (s *secretReader) read(in *keyturn.Integration, p place) bool {
	s.failed = false
	in.Secrets(func(at string, ref *keyturn.SecretRef) {
		if value, ok := s.secret(*ref, p.at(at)); ok && value != "" {
			*ref = keyturn.SecretRef{Value: value}
		}
	})
	in.TLS.CAFile, in.TLS.CA = s.pem(p.at("tls.caFile"), in.TLS.CAFile, in.TLS.CA)
	in.TLS.ClientCertFile, in.TLS.ClientCert = s.pem(p.at("tls.clientCertFile"), in.TLS.ClientCertFile, in.TLS.ClientCert)
	return !s.failed
}

// readWebhook does the same for a webhook.
func (s *secretReader) readWebhook(w *keyturn.Webhook, p place) bool {
	s.failed = false
	w.Secrets(func(at string, ref *keyturn.SecretRef) {
		if value, ok := s.secret(*ref, p.at(at)); ok && value != "" {
			*ref = keyturn.SecretRef{Value: value}
		}
	})
	w.TLS.CAFile, w.TLS.CA = s.pem(p.at("tls.caFile"), w.TLS.CAFile, w.TLS.CA)
	w.TLS.ClientCertFile, w.TLS.ClientCert = s.pem(p.at("tls.clientCertFile"), w.TLS.ClientCertFile, w.TLS.ClientCert)
	return !s.failed
}

// secret gives the value of a reference. One that is only `set` keeps what is stored and has none.
func (s *secretReader) secret(ref keyturn.SecretRef, at string) (string, bool) {
	switch {
	case ref.Value != "":
		return s.fail(at, "must not be written in the file: use {env: NAME} or {file: PATH}")
	case ref.Env != "" && ref.File != "":
		return s.fail(at, "must be {env: NAME} or {file: PATH}, not both")
	case ref.Env != "":
		value, ok := s.lookup(ref.Env)
		if !ok || value == "" {
			return s.fail(at, "names the environment variable %s, which is not set", ref.Env)
		}
		return value, true
	case ref.File != "":
		text, ok := s.file(at, ref.File)
		text = strings.TrimRight(text, "\r\n") // editors end a file with a line end that is no part of the secret
		if ok && text == "" {
			return s.fail(at, "names the file %s, which is empty", ref.File)
		}
		return text, ok
	case ref.Set:
		return "", true
	}
	return s.fail(at, "must be {env: NAME} or {file: PATH}")
}

// pem gives the text of a certificate file in place of its name.
func (s *secretReader) pem(at, file, text string) (string, string) {
	if file == "" {
		return "", text
	}
	if text != "" {
		s.fail(at, "must not be combined with the certificate itself")
		return "", text
	}
	text, _ = s.file(at, file)
	return "", text
}

// image reads the file that an image names.
func (s *secretReader) image(i *keyturn.Image, p place, field string) {
	if i.File == "" {
		s.bad.Check(len(i.Data) == 0 && i.SHA256 == "", p.at(field), "must be {file: PATH}")
		return
	}
	if text, ok := s.file(p.at(field), i.File); ok {
		s.bad.Check(text != "", p.at(field), "names the file %s, which is empty", i.File)
		*i = keyturn.Image{Data: keyturn.Base64(text)}
		return
	}
	*i = keyturn.Image{} // what is wrong with it has been said
}

func (s *secretReader) file(at, name string) (string, bool) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.folder, path)
	}
	info, err := os.Stat(path)
	if err == nil && (info.IsDir() || info.Size() > maxSecretFile) {
		return s.fail(at, "names %s, which is not a file of at most %s", name, keyturn.Bytes(maxSecretFile))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return s.fail(at, "names the file %s, which cannot be read", name)
	}
	return string(text), true
}

func (s *secretReader) fail(at, format string, args ...any) (string, bool) {
	s.failed = true
	s.bad.Addf(at, format, args...)
	return "", false
}
