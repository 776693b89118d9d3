"""What is trained: its listings, its evidence, its trees and what decides on their scores."""
