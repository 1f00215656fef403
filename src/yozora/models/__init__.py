"""Networks: they know tensors and their own dataclasses, nothing of diffusion, data or disks."""
