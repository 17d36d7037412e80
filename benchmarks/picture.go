package main

import (
	"bytes"
	"image/color"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	pictureWidth  = 18 * vg.Centimeter
	pictureHeight = 10 * vg.Centimeter
	margin        = 2 * vg.Millimeter
)

// The colours of Okabe and Ito, which can be told apart with any kind of colour vision.
var (
	blue    = color.RGBA{0, 114, 178, 255}
	orange  = color.RGBA{230, 159, 0, 255}
	red     = color.RGBA{213, 94, 0, 255}
	green   = color.RGBA{0, 158, 115, 255}
	purple  = color.RGBA{204, 121, 167, 255}
	skyBlue = color.RGBA{86, 180, 233, 255}
	grey    = color.RGBA{200, 200, 200, 255}
	dark    = color.RGBA{60, 60, 60, 255}

	palette     = []color.RGBA{blue, red, green, orange, purple, skyBlue}
	bandPalette = []color.RGBA{grey, blue, red}
)

type point struct{ x, y float64 }

// picture is a plot whose first error is kept until it is saved.
type picture struct {
	plot *plot.Plot
	err  error
}

func newPicture(title, x, y string) *picture {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	sans := func(f *font.Font, size vg.Length) { f.Variant, f.Size = "Sans", size }
	sans(&p.Title.TextStyle.Font, 13)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		sans(&axis.Label.TextStyle.Font, 11)
		sans(&axis.Tick.Label.Font, 10)
		axis.Padding = 0
	}
	sans(&p.Legend.TextStyle.Font, 10)
	p.Title.Padding = vg.Millimeter
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs, p.Legend.Padding = margin, -margin/2, margin/4
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{230}, color.Gray{230}
	p.Add(grid)
	return &picture{plot: p}
}

// add adds a plotter that has an entry in the legend.
func (p *picture) add(name string, item interface {
	plot.Plotter
	plot.Thumbnailer
}) {
	p.plot.Add(item)
	p.plot.Legend.Add(name, item)
}

func (p *picture) line(name string, c color.Color, points []point) *plotter.Line {
	line, err := plotter.NewLine(coordinates(points))
	if err != nil {
		p.fail(err)
		return nil
	}
	line.Color, line.Width = c, vg.Points(1.8)
	p.add(name, line)
	return line
}

// dottedLine is a line with a dot at each point.
func (p *picture) dottedLine(name string, c color.Color, points []point) {
	line, dots, err := plotter.NewLinePoints(coordinates(points))
	if err != nil {
		p.fail(err)
		return
	}
	line.Color, line.Width = c, vg.Points(1.8)
	dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}
	p.plot.Add(line, dots)
	p.plot.Legend.Add(name, line, dots)
}

// level is a dashed line at a height, as wide as what has been drawn so far.
func (p *picture) level(name string, y float64) {
	p.dashed(name, dark, []point{{p.plot.X.Min, y}, {p.plot.X.Max, y}})
}

// mark is a dashed line from the axis up.
func (p *picture) mark(name string, c color.Color, x, top float64) {
	p.dashed(name, c, []point{{x, 0}, {x, top}})
}

func (p *picture) dashed(name string, c color.Color, points []point) {
	if line := p.line(name, c, points); line != nil {
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		line.Width = vg.Points(1.2)
	}
}

// band fills what lies between two heights, which are those of a second each.
func (p *picture) band(name string, c color.Color, floor, top []float64) {
	var outline []point
	for i, y := range top {
		outline = append(outline, point{float64(i), y}, point{float64(i + 1), y})
	}
	for i := len(floor) - 1; i >= 0; i-- {
		outline = append(outline, point{float64(i + 1), floor[i]}, point{float64(i), floor[i]})
	}
	area, err := plotter.NewPolygon(coordinates(outline))
	if err != nil {
		p.fail(err)
		return
	}
	area.Color, area.LineStyle.Width = c, 0
	p.add(name, area)
}

func coordinates(points []point) plotter.XYs {
	xys := make(plotter.XYs, len(points))
	for i, at := range points {
		xys[i] = plotter.XY{X: at.x, Y: at.y}
	}
	return xys
}

func (p *picture) yFrom(lowest, highest float64) { p.plot.Y.Min, p.plot.Y.Max = lowest, highest }

// xFromZero lets the horizontal axis begin at 0 and end at a round number, which makes for short labels.
func (p *picture) xFromZero() { p.plot.X.Min, p.plot.X.Max = 0, 10*math.Ceil(p.plot.X.Max/10) }

// xNames names the points at 0, 1, 2 and so on of the horizontal axis.
func (p *picture) xNames(names []string) {
	ticks := make(plot.ConstantTicks, len(names))
	for i, name := range names {
		ticks[i] = plot.Tick{Value: float64(i), Label: name}
	}
	p.plot.X.Tick.Marker = ticks
}

func (p *picture) legendBelow() { p.plot.Legend.Top, p.plot.Legend.YOffs = false, margin/2 }
func (p *picture) legendRight() { p.plot.Legend.Left, p.plot.Legend.XOffs = false, -margin }

func (p *picture) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// save writes the picture as SVG.
func (p *picture) save(path string) error {
	if p.err != nil {
		return p.err
	}
	canvas := vgsvg.New(pictureWidth, pictureHeight)
	page := draw.New(canvas)
	page.SetColor(color.White) // else it could not be read on a dark page
	page.Fill(page.Rectangle.Path())
	p.plot.Draw(draw.Crop(page, margin, -2*margin, margin, -margin))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// Few machines have the Liberation fonts. Arial has the same widths.
	text := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	return os.WriteFile(path, text, 0o644)
}
