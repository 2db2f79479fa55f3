"""Networks as mdistiller publishes them, by their description."""

import torch
import torch.nn.functional as F


class Published:
    """Networks of mdistiller as functions, from their description and with no module of ours.

    The first call draws the weights by the published names, none at its initial value.
    """

    def __init__(self, name, num_classes=100):
        torch.manual_seed(0)
        self.weights, self.num_classes = {}, num_classes
        self.forward = {
            'resnet': self.resnet,
            'ResNet': self.big_resnet,
            'wrn': self.wrn,
            'vgg': self.vgg,
            'MobileNetV2': self.mobilenet_v2,
            'ShuffleV1': self.shufflenet_v1,
            'ShuffleV2': self.shufflenet_v2,
        }[name if name[-2] == 'V' else name.rstrip('0123456789x_')]
        self.name = name
        self(torch.randn(1, 3, 32, 32))

    def __call__(self, images):
        with torch.no_grad():
            return self.forward(images)

    # Layers

    def get(self, name, draw):
        if name not in self.weights:
            self.weights[name] = draw()
        return self.weights[name]

    def conv(self, x, name, channels, size=3, stride=1, groups=1, bias=False):
        shape = (channels, x.shape[1] // groups, size, size)
        scale = (2 / (size * size * shape[1])) ** 0.5
        weight = self.get(f'{name}.weight', lambda: torch.randn(shape) * scale)
        bias = self.get(f'{name}.bias', lambda: torch.randn(channels)) if bias else None
        return F.conv2d(x, weight, bias, stride, size // 2, groups=groups)

    def norm(self, x, name):
        number = x.shape[1]
        mean = self.get(f'{name}.running_mean', lambda: torch.randn(number) * 0.3)
        var = self.get(f'{name}.running_var', lambda: torch.rand(number) + 0.5)
        scale = self.get(f'{name}.weight', lambda: torch.rand(number) + 0.5)
        shift = self.get(f'{name}.bias', lambda: torch.randn(number) * 0.3)
        self.get(f'{name}.num_batches_tracked', lambda: torch.tensor(7))
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return x * scale[:, None, None] + shift[:, None, None]

    def linear(self, x, name):
        features = x.mean((2, 3))
        shape = (self.num_classes, features.shape[1])
        weight = self.get(f'{name}.weight', lambda: torch.randn(shape) * shape[1] ** -0.5)
        return features @ weight.T + self.get(f'{name}.bias', lambda: torch.randn(shape[0]))

    @staticmethod
    def shuffle(x, groups):
        """Channel c of group g goes to place c * groups + g."""
        size = x.shape[1] // groups
        order = [group * size + channel for channel in range(size) for group in range(groups)]
        return x[:, order]

    # Networks

    def resnet(self, x):
        depth, _, factor = self.name.removeprefix('resnet').partition('x')
        widths = [32, 64, 128, 256] if factor else [16, 16, 32, 64]
        x = self.norm(self.conv(x, 'conv1', widths[0]), 'bn1').relu()
        for stage in (1, 2, 3):
            for block in range((int(depth) - 2) // 6):
                at, width = f'layer{stage}.{block}', widths[stage]
                stride = 2 if stage > 1 and block == 0 else 1
                out = self.norm(self.conv(x, f'{at}.conv1', width, 3, stride), f'{at}.bn1').relu()
                out = self.norm(self.conv(out, f'{at}.conv2', width), f'{at}.bn2')
                if stride == 2 or x.shape[1] != width:
                    x = self.conv(x, f'{at}.downsample.0', width, 1, stride)
                    x = self.norm(x, f'{at}.downsample.1')
                x = (out + x).relu()
        return self.linear(x, 'fc')

    def big_resnet(self, x):
        bottleneck = self.name == 'ResNet50'
        x = self.norm(self.conv(x, 'conv1', 64), 'bn1').relu()
        for stage, blocks in enumerate((3, 4, 6, 3) if bottleneck else (2, 2, 2, 2), 1):
            for block in range(blocks):
                at, width = f'layer{stage}.{block}', 32 * 2**stage
                stride = 2 if stage > 1 and block == 0 else 1
                # Width, size and stride of each convolution.
                layers = [(width, 3, stride), (width, 3, 1)]
                if bottleneck:
                    layers = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
                out = x
                for index, layer in enumerate(layers, 1):
                    out = self.norm(self.conv(out, f'{at}.conv{index}', *layer), f'{at}.bn{index}')
                    out = out.relu() if index < len(layers) else out
                if x.shape != out.shape:
                    x = self.conv(x, f'{at}.shortcut.0', out.shape[1], 1, stride)
                    x = self.norm(x, f'{at}.shortcut.1')
                x = (out + x).relu()
        return self.linear(x, 'linear')

    def wrn(self, x):
        _, depth, factor = self.name.split('_')
        x = self.conv(x, 'conv1', 16)
        for stage in (1, 2, 3):
            for block in range((int(depth) - 4) // 6):
                at, width = f'block{stage}.layer.{block}', 8 * 2**stage * int(factor)
                stride = 2 if stage > 1 and block == 0 else 1
                active = self.norm(x, f'{at}.bn1').relu()
                out = self.conv(active, f'{at}.conv1', width, 3, stride)
                out = self.conv(self.norm(out, f'{at}.bn2').relu(), f'{at}.conv2', width)
                if x.shape[1] != width:
                    x = self.conv(active, f'{at}.convShortcut', width, 1, stride)
                x = out + x
        return self.linear(self.norm(x, 'bn1').relu(), 'fc')

    def vgg(self, x):
        numbers = {8: '11111', 11: '11222', 13: '22222', 16: '22333', 19: '22444'}
        for block, number in enumerate(map(int, numbers[int(self.name[3:])])):
            if block in (1, 2, 3):
                x = F.max_pool2d(x, 2)
            for index in range(number):
                at, width = f'block{block}', (64, 128, 256, 512, 512)[block]
                x = self.conv(x, f'{at}.{3 * index}', width, bias=True)
                x = self.norm(x, f'{at}.{3 * index + 1}').relu()
        return self.linear(x, 'classifier')

    def mobilenet_v2(self, x):
        x = self.norm(self.conv(x, 'conv1.0', 16, 3, 2), 'conv1.1').relu()
        settings = [(1, 8, 1, 1), (6, 12, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1)]
        settings += [(6, 80, 3, 2), (6, 160, 1, 1)]
        for stage, (ratio, width, number, first_stride) in enumerate(settings):
            for block in range(number):
                at, hidden = f'blocks.{stage}.{block}.conv', x.shape[1] * ratio
                stride = first_stride if block == 0 else 1
                out = self.norm(self.conv(x, f'{at}.0', hidden, 1), f'{at}.1').relu()
                out = self.conv(out, f'{at}.3', hidden, 3, stride, groups=hidden)
                out = self.norm(out, f'{at}.4').relu()
                out = self.norm(self.conv(out, f'{at}.6', width, 1), f'{at}.7')
                x = out + x if stride == 1 and x.shape[1] == width else out
        x = self.norm(self.conv(x, 'conv2.0', 1280, 1), 'conv2.1').relu()
        return self.linear(x, 'classifier.0')

    def shufflenet_v1(self, x):
        x = self.norm(self.conv(x, 'conv1', 24, 1), 'bn1').relu()
        for stage, number in enumerate((4, 8, 4), 1):
            for block in range(number):
                at, width = f'layer{stage}.{block}', 120 * 2**stage
                stride = 2 if block == 0 else 1
                new = width - x.shape[1] if stride == 2 else width
                groups = 1 if x.shape[1] == 24 else 3
                out = self.conv(x, f'{at}.conv1', new // 4, 1, groups=groups)
                out = self.shuffle(self.norm(out, f'{at}.bn1').relu(), groups)
                out = self.conv(out, f'{at}.conv2', new // 4, 3, stride, groups=new // 4)
                out = self.norm(out, f'{at}.bn2').relu()
                out = self.norm(self.conv(out, f'{at}.conv3', new, 1, groups=3), f'{at}.bn3')
                if stride == 2:
                    x = torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1).relu()
                else:
                    x = (out + x).relu()
        return self.linear(x, 'linear')

    def shufflenet_v2(self, x):
        def step(x, at, index, width, size=1, stride=1, active=True):
            groups = width if size == 3 else 1
            x = self.conv(x, f'{at}.conv{index}', width, size, stride, groups)
            x = self.norm(x, f'{at}.bn{index}')
            return x.relu() if active else x

        x = self.norm(self.conv(x, 'conv1', 24, 1), 'bn1').relu()
        for stage, number in enumerate((4, 8, 4), 1):
            width = 58 * 2 ** (stage - 1)
            for block in range(number):
                at = f'layer{stage}.{block}'
                if block == 0:
                    left = step(x, at, 1, x.shape[1], 3, 2, active=False)
                    left = step(left, at, 2, width)
                    right = step(x, at, 3, width)
                    right = step(right, at, 4, width, 3, 2, active=False)
                    right = step(right, at, 5, width)
                else:
                    left, right = x[:, :width], step(x[:, width:], at, 1, width)
                    right = step(step(right, at, 2, width, 3, active=False), at, 3, width)
                x = self.shuffle(torch.cat([left, right], 1), 2)
        x = self.norm(self.conv(x, 'conv2', 1024, 1), 'bn2').relu()
        return self.linear(x, 'linear')
