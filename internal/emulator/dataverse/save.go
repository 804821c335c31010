package dataverse

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/klauspost/compress/zstd"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// A saved organisation is saveMagic, a zstd stream of gob values (savedServer,
// then the store's), and the SHA-256 of both.
const saveMagic = "allod emulator 1\n"

type savedServer struct {
	Model        *entity.Model
	Organization allod.GUID
	Unit         allod.GUID
	Currency     allod.GUID
	DeltaFloor   uint64
	Random       []byte
	Users        []savedUser
}

type savedUser struct {
	ClientID string
	User     allod.GUID
}

// Save writes the organisation: schema, rows with their versions, deletions,
// files. Counters, faults, marks, uploads that are under way and secrets are
// not part of it. Requests are answered meanwhile; the rows are those of one
// moment.
func (s *Server) Save(w io.Writer) error {
	head, err := s.saved()
	if err != nil {
		return fmt.Errorf("save the organisation: %w", err)
	}
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	if _, err := io.WriteString(out, saveMagic); err != nil {
		return fmt.Errorf("save the organisation: %w", err)
	}
	z, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	e := gob.NewEncoder(z)
	if err := e.Encode(head); err != nil {
		return fmt.Errorf("save the organisation: %w", err)
	}
	if err := s.org.Store.Save(e); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("save the organisation: %w", err)
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

func (s *Server) saved() (*savedServer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	random, err := s.random.MarshalBinary()
	if err != nil {
		return nil, err
	}
	out := &savedServer{
		Model: s.Model(), Organization: s.organization, Unit: s.org.Unit, Currency: s.org.Currency,
		DeltaFloor: s.org.DeltaFloor.Load(), Random: random,
	}
	for _, u := range s.users {
		out.Users = append(out.Users, savedUser{u.ClientID, u.User})
	}
	return out, nil
}

// Load makes the server the organisation that Save wrote, before its first
// request. It wants the same application users; what was damaged is Corrupt,
// and then the server is of no use.
func (s *Server) Load(r io.ReadSeeker) error {
	err := s.load(r)
	if err == nil {
		err = s.interruptJobs()
	}
	if err != nil {
		return fmt.Errorf("load the saved organisation: %w", err)
	}
	return nil
}

func (s *Server) load(r io.ReadSeeker) error {
	size, err := checkSaved(r)
	if err != nil {
		return err
	}
	z, err := zstd.NewReader(io.LimitReader(r, size))
	if err != nil {
		return err
	}
	defer z.Close()
	d := gob.NewDecoder(z)
	var head savedServer
	if err := d.Decode(&head); err != nil {
		return err
	}
	if head.Model == nil {
		return allod.Errorf(allod.Invalid, "it has no schema")
	}
	if err := s.takeUsers(head.Users); err != nil {
		return err
	}
	if err := s.org.Store.Load(d); err != nil {
		return err
	}
	head.Model.Seal()
	s.schema.Store(s.newSchema(head.Model))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.organization, s.org.Unit, s.org.Currency = head.Organization, head.Unit, head.Currency
	s.org.DeltaFloor.Store(head.DeltaFloor)
	if err := s.random.UnmarshalBinary(head.Random); err != nil {
		return err
	}
	s.rng = rand.New(s.random)
	return nil
}

// takeUsers gives each application user the systemuser row it had.
func (s *Server) takeUsers(saved []savedUser) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[string]allod.GUID{}
	for _, u := range saved {
		ids[u.ClientID] = u.User
	}
	for i := range s.users {
		id, ok := ids[s.users[i].ClientID]
		if !ok {
			return allod.WithHint(allod.Errorf(allod.Invalid, "it was made with %d application users, not %d", len(saved), len(s.users)),
				"Give the number it was made with as --app-users, or another folder.")
		}
		s.users[i].User = id
	}
	return nil
}

// checkSaved compares the digest and returns the size of the zstd stream, at
// whose first byte it leaves r.
func checkSaved(r io.ReadSeeker) (int64, error) {
	end, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	size := end - sha256.Size
	sum, magic, want := sha256.New(), make([]byte, len(saveMagic)), make([]byte, sha256.Size)
	if size < int64(len(magic)) {
		return 0, allod.Errorf(allod.Corrupt, "it is cut short")
	}
	if _, err := io.ReadFull(io.TeeReader(r, sum), magic); err != nil {
		return 0, err
	}
	if string(magic) != saveMagic {
		return 0, allod.WithHint(allod.Errorf(allod.Invalid, "it is no saved organisation of this version"), "Name another folder as --data.")
	}
	if _, err := io.CopyN(sum, r, size-int64(len(magic))); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(r, want); err != nil {
		return 0, err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return 0, allod.WithHint(allod.Errorf(allod.Corrupt, "it is damaged"), "Name another folder as --data; the emulator then begins anew.")
	}
	_, err = r.Seek(int64(len(magic)), io.SeekStart)
	return size - int64(len(magic)), err
}
