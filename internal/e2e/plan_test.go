package e2e_test

import (
	"testing"

	"allod/internal/capture"
)

// TestPlanCountsFiles: a plan says how many files there are and how long they
// are together, without reading one.
func TestPlanCountsFiles(t *testing.T) {
	co := startCompany(t, &clock{}, nil)
	d := newDesk(t, &clock{})
	d.connect("demo", co.url)
	var files, bytes int64
	for _, n := range co.rows("annotations", "?$select=filesize&$filter=isdocument eq true") {
		files++
		bytes += int64(n["filesize"].(float64))
	}
	for _, f := range co.rows("fileattachments", "?$select=filesizeinbytes&$filter=objecttypecode eq 'account'") {
		files++
		bytes += int64(f["filesizeinbytes"].(float64))
	}
	p, err := d.PlanBackup(t.Context(), "demo", capture.Options{Tables: []string{"annotation", "account"}})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 || p.Files != files || p.FileBytes != bytes || p.Seconds <= 0 || p.AtOnce < 1 || p.PerDay != 0 || p.Requests <= files {
		t.Errorf("there are %d files of %d bytes; the plan: %+v", files, bytes, p)
	}
	without, err := d.PlanBackup(t.Context(), "demo", capture.Options{Tables: []string{"annotation"}, NoFiles: true})
	if err != nil || without.Files != 0 || without.FileBytes != 0 || len(without.Unsized) > 0 {
		t.Errorf("without files: %+v, %v", without, err)
	}
}
