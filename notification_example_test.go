package timpush_test

import (
	"encoding/json"
	"fmt"

	"github.com/timpush/timpush-go"
)

// A member that has no field yet goes to the Extra of the part that it belongs to.
func ExampleNotification() {
	n := timpush.Notification{
		Title:    "A present for you",
		Desc:     "Open the app before Sunday",
		Ext:      `{"page":"present"}`,
		BadgeAdd: new(1),
		Android: &timpush.Android{
			OPPOCategory: "MARKETING",
			VIVOCategory: "MARKETING",
			Extra:        timpush.Extra{"XiaoMiNewMember": "x"},
		},
	}
	body, err := json.MarshalIndent(n, "", "  ")
	fmt.Println(string(body), err)
	// Output:
	// {
	//   "Title": "A present for you",
	//   "Desc": "Open the app before Sunday",
	//   "Ext": "{\"page\":\"present\"}",
	//   "BadgeAddNum": 1,
	//   "AndroidInfo": {
	//     "OPPOCategory": "MARKETING",
	//     "VIVOCategory": "MARKETING",
	//     "XiaoMiNewMember": "x"
	//   }
	// } <nil>
}
