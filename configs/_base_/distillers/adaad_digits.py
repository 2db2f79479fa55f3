_base_ = ['./adaad.py']

# Of means over the images alone: twelve epochs are too short for small weights.
model = dict(distiller=dict(distill_losses=dict(loss_adversarial=dict(loss_weight=1.0))))

# A digit of 8x8 pixels withstands what fools a network on CIFAR-10. Half of the published steps, so
# that a training takes a minute.
default_hooks = dict(
    adversarial_samples=dict(radius=32 / 255, step_size=8 / 255, num_steps=5),
)
