package main

import (
	"path"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"

	"github.com/timpush/timpush-go/tools"
)

const root = "example.com/sdk"

// fit returns modules that are fit for a release at v0.2.0, with what is appended to the go.mod in some folders.
func fit(t *testing.T, more map[string]string) map[string]*modfile.File {
	t.Helper()
	mods := map[string]*modfile.File{}
	for _, dir := range append(tools.Published(), "bench") {
		text := "module " + path.Join(root, dir) + "\n"
		if dir != "." {
			text += "require " + root + " v0.2.0\n"
		}
		mod, err := modfile.Parse(path.Join(dir, "go.mod"), []byte(text+more[dir]), nil)
		require.NoError(t, err)
		mods[dir] = mod
	}
	return mods
}

func licences(mods map[string]*modfile.File) (files []string) {
	for dir := range mods {
		files = append(files, path.Join(dir, "LICENSE"))
	}
	return files
}

func TestModulesFitForRelease(t *testing.T) {
	t.Parallel()
	mods := fit(t, map[string]string{"dispatch": "replace " + root + " => ../\nrequire other.com/sdk v1.0.0\n"})
	version, err := checkModules(mods, licences(mods))
	require.NoError(t, err)
	assert.Equal(t, "v0.2.0", version)
}

func TestModulesUnfitForRelease(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]map[string]string{
		"has a replace": {tools.ToolDir: "replace " + root + " => ../../\n"},
		"requires":      {"bench": "require " + root + "/dispatch v0.1.0\n"},
	} {
		mods := fit(t, more)
		_, err := checkModules(mods, licences(mods))
		assert.ErrorContains(t, err, name)
	}
	mods := fit(t, nil)
	files := licences(mods)
	delete(mods, "bench")
	_, err := checkModules(mods, files)
	require.NoError(t, err)
	for _, file := range files {
		if path.Dir(file) != "bench" {
			_, err := checkModules(mods, []string{file})
			assert.ErrorContains(t, err, "LICENSE is missing")
		}
	}
	delete(mods, "dispatch")
	_, err = checkModules(mods, files)
	assert.ErrorContains(t, err, "there is no module in dispatch")
}

func TestWithoutSiblings(t *testing.T) {
	t.Parallel()
	others := root + "-other v0.1.0 h1:a=\ngolang.org/x/mod v0.42.0/go.mod h1:b=\n"
	siblings := root + " v0.1.0 h1:c=\n" + root + "/dispatch v0.1.0/go.mod h1:d=\n"
	assert.Equal(t, others, withoutSiblings(root, siblings+others))
}
