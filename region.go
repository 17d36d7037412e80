package timpush

import (
	"fmt"
	"strings"
)

// Region is the place where an app's data is stored. An app is in exactly one region, which the console shows;
// a request to another region is refused with [ErrWrongRegion]. The zero value is not a region, and [NewClient]
// refuses it: a default could send the data of users to another country.
//
// Hosts: tencentcloud.com/document/product/1047/60565 and 1047/34620.
type Region string

// The regions of the service.
const (
	RegionChina         Region = "china"
	RegionSingapore     Region = "singapore"
	RegionSeoul         Region = "seoul"
	RegionFrankfurt     Region = "frankfurt"
	RegionSiliconValley Region = "siliconvalley"
	RegionJakarta       Region = "jakarta"
	// RegionTokyo is named by the newer editions of the documentation only (1047/67818).
	RegionTokyo Region = "tokyo"
	// RegionMumbai is named by older editions of the documentation only: treat it as legacy.
	RegionMumbai Region = "mumbai"
	// RegionSaudiArabia is Riyadh, named by the pages of 2026 only (1047/78839); no page names a backup host.
	RegionSaudiArabia Region = "saudiarabia"
)

type hostNames struct{ host, backup string }

// place makes the two hosts of a region outside China from the short name that they share.
func place(name string) hostNames {
	return hostNames{"adminapi" + name + ".im.qcloud.com", "adminapi" + name + ".my-imcloud.com"}
}

var hostsOf = map[Region]hostNames{
	RegionChina:         {"console.tim.qq.com", "adminapi.my-imcloud.com"},
	RegionSingapore:     place("sgp"),
	RegionSeoul:         place("kr"),
	RegionFrankfurt:     place("ger"),
	RegionSiliconValley: place("usa"),
	RegionJakarta:       place("idn"),
	RegionTokyo:         place("jpn"),
	RegionMumbai:        place("ind"),
	RegionSaudiArabia:   {host: place("ksa").host},
}

// Regions returns all regions, the documented ones first.
func Regions() []Region {
	return []Region{
		RegionChina, RegionSingapore, RegionSeoul, RegionFrankfurt, RegionSiliconValley, RegionJakarta,
		RegionTokyo, RegionMumbai, RegionSaudiArabia,
	}
}

// Host returns the host name of the region's admin API, or "" for an unknown region.
func (r Region) Host() string { return hostsOf[r].host }

// BackupHost returns the host name that the vendor keeps beside [Region.Host] for networks whose DNS is hijacked,
// or "" for an unknown region and for one without a documented backup host. The client calls it only with [WithBackupHost].
func (r Region) BackupHost() string { return hostsOf[r].backup }

// ParseRegion parses a region, as from a configuration file or a flag. Case, spaces, hyphens and underscores do not
// matter: "Silicon Valley", "silicon-valley" and "SiliconValley" are the same. The error lists the regions.
func ParseRegion(s string) (Region, error) {
	r := Region(strings.NewReplacer(" ", "", "-", "", "_", "").Replace(strings.ToLower(s)))
	if r.Host() == "" {
		return "", fmt.Errorf("timpush: unknown region %q, want one of %s", shownRegion(s), regionNames())
	}
	return r, nil
}

// shownRegion leaves out of an error what is too long for a region: where two settings were swapped it is the secret key.
func shownRegion(s string) string {
	if len(s) > 20 {
		return "..."
	}
	return s
}

func regionNames() string {
	names := make([]string, 0, len(Regions()))
	for _, r := range Regions() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}
