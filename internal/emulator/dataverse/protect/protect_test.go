package protect

import (
	"testing"
	"time"
)

func TestWindows(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	l := New(true)
	l.Now = func() time.Time { return at }
	for range Requests {
		if d := l.Admit("u", 0); d != nil {
			t.Fatalf("denied early: %+v", d)
		}
		l.Done("u", 0, time.Millisecond)
	}
	d := l.Admit("u", 0)
	if d == nil || d.Code != "0x80072322" || d.RetryAfter != 300 {
		t.Fatalf("request 6001: got %+v", d)
	}
	if again := l.Admit("u", 0); again.RetryAfter <= d.RetryAfter {
		t.Errorf("Retry-After does not grow: %d then %d", d.RetryAfter, again.RetryAfter)
	}
	if l.Admit("u", 1) != nil || l.Admit("v", 0) != nil {
		t.Error("another server or user is limited too")
	}
	at = at.Add(301 * time.Second)
	if d := l.Admit("u", 0); d != nil {
		t.Errorf("after the window: got %+v", d)
	}
}

func TestTimeAndConcurrency(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	l := New(true)
	l.Now = func() time.Time { return at }
	for range Concurrent {
		if d := l.Admit("u", 0); d != nil {
			t.Fatalf("denied early: %+v", d)
		}
	}
	if d := l.Admit("u", 0); d == nil || d.Code != "0x80072326" {
		t.Errorf("request 53 at once: got %+v", d)
	}
	for range Concurrent {
		l.Done("u", 0, 30*time.Second)
	}
	if d := l.Admit("u", 0); d == nil || d.Code != "0x80072321" {
		t.Errorf("after 1560 s of work: got %+v", d)
	}
}

func TestCostFile(t *testing.T) {
	c, err := ParseCost([]byte(`{"row_ms":2}`))
	if err != nil || c.Row != 2 || c.Page != DefaultCost().Page {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err := ParseCost([]byte(`{"row_ms":`)); err == nil {
		t.Error("broken file accepted")
	}
}
